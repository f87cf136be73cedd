import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { answerFiles, serve } from '../download/testing/server.ts'
import type { TestServer } from '../download/testing/server.ts'
import { openImage } from './open-image.ts'
import type { OpenImageOptions } from './open-image.ts'
import { makeArchive, makeDeb, makeKey, makeModule } from './testing/fake-archive.ts'
import type { FakeKey, FakePackage } from './testing/fake-archive.ts'

const withCode = (code: string): unknown => expect.objectContaining({ code })
const busybox: FakePackage = {
  name: 'busybox-static', version: '1', deb: makeDeb([{ path: './bin/busybox', data: Buffer.from('ELF busybox') }]),
}

function kernel(version: string): FakePackage[] {
  const release = `6.1.0-${version}-cloud-amd64`
  const deb = makeDeb([
    { path: `./boot/vmlinuz-${release}`, data: Buffer.from(`kernel ${version}`) },
    { path: `./lib/modules/${release}/kernel/x.ko`, data: makeModule(['name=x']) },
  ])
  const depends = `linux-image-${release} (= ${version})`
  return [{ name: 'linux-image-cloud-amd64', version, depends, deb: makeDeb([]) }, { name: `linux-image-${release}`, version, deb }]
}

let key: FakeKey
let cache: string
let server: TestServer
let files: Map<string, Uint8Array>

beforeAll(async () => {
  key = await makeKey()
})

beforeEach(async () => {
  cache = mkdtempSync(join(tmpdir(), 'tenon-image-'))
  files = await makeArchive([busybox, ...kernel('8'), ...kernel('9')], key)
  server = await serve((request, response) => answerFiles(files)(request, response))
})

afterEach(async () => {
  await server.close()
  rmSync(cache, { recursive: true })
})

/** Opens the image, and gives its kernel's text. */
async function open(options: OpenImageOptions = {}): Promise<string> {
  const { kernel } = await openImage('busybox', {
    cache, mirror: `${server.url}/`, trustedKeys: [key.publicKey], http: { environment: {}, silenceMs: 2000 }, retryDelaysMs: [], ...options,
  })
  return Buffer.from(kernel).toString()
}

function imageFiles(): string[] {
  return readdirSync(join(cache, 'images')).filter(name => !name.endsWith('.json')).map(name => join(cache, 'images', name))
}

test('builds the image of the kernel that the index names now, and needs no network then', async () => {
  expect(await open()).toBe('kernel 9')
  const asked = server.requests.length
  expect(await open()).toBe('kernel 9')
  expect(server.requests.length).toBe(asked)
  expect(readdirSync(cache).sort()).toEqual(['images', 'packages'])
})

test('stays with its image until it is refreshed', async () => {
  await open()
  files = await makeArchive([busybox, ...kernel('10')], key)
  expect(await open()).toBe('kernel 9')
  expect(await open({ refresh: true })).toBe('kernel 10')
  expect([await open(), imageFiles().length, readdirSync(join(cache, 'packages')).length]).toEqual(['kernel 10', 2, 2])
})

test('a damaged image is built again from the packages, without the network', async () => {
  await open()
  files.clear()
  for (const damage of [
    (path: string) => writeFileSync(path, 'garbage'),
    (path: string) => writeFileSync(path, readFileSync(path).subarray(1)),
    (path: string) => rmSync(path),
  ]) {
    imageFiles().forEach(damage)
    expect(await open()).toBe('kernel 9')
  }
})

test('a damaged image and damaged packages are fetched again', async () => {
  await open()
  imageFiles().forEach(path => writeFileSync(path, 'garbage'))
  for (const name of readdirSync(join(cache, 'packages'))) writeFileSync(join(cache, 'packages', name), 'garbage')
  expect(await open()).toBe('kernel 9')
})

test('a damaged record is no record', async () => {
  await open()
  for (const text of ['', '{', '{"format":1}', '[]', 'null', '{"format":1,"packages":[{}],"files":{"kernel":{},"initrd":null}}']) {
    writeFileSync(join(cache, 'images', 'busybox.json'), text)
    expect(await open()).toBe('kernel 9')
  }
})

test('two processes that want the image build it once', async () => {
  const stages: string[] = []
  const progress: OpenImageOptions['progress'] = event => void (event.kind === 'stage' && stages.push(event.text))
  expect(await Promise.all([open({ progress }), open({ progress })])).toEqual(['kernel 9', 'kernel 9'])
  expect(stages.filter(text => text.startsWith('building')).length).toBe(1)
  expect(stages.filter(text => text.startsWith('another')).length).toBe(1)
})

test('an archive that another key has signed is rejected', async () => {
  files = await makeArchive([busybox, ...kernel('9')], await makeKey())
  await expect(open()).rejects.toEqual(withCode('SIGNATURE_INVALID'))
  expect(existsSync(join(cache, 'images'))).toBe(false)
})

test('an index or a package that is not what was signed is rejected, and a good one taken after it', async () => {
  const paths = [...files.keys()].filter(path => /Packages|static|-9-/.test(path))
  expect(paths.length).toBe(3)
  for (const [number, path] of paths.entries()) {
    const options = { cache: join(cache, `${number}`) }
    const good = files.get(path)!
    files.set(path, good.map((byte, index) => (index === 100 ? byte ^ 1 : byte)))
    await expect(open(options), path).rejects.toEqual(withCode('DOWNLOAD_CORRUPT'))
    files.set(path, good.subarray(0, good.length - 1))
    await expect(open(options), path).rejects.toEqual(withCode('DOWNLOAD_FAILED'))
    files.set(path, good)
    expect(await open(options)).toBe('kernel 9')
  }
})

test('an archive without our packages is rejected', async () => {
  files = await makeArchive([busybox], key)
  await expect(open()).rejects.toEqual(withCode('ARCHIVE_PACKAGE_MISSING'))
})

test('a package that is signed but no package is rejected', async () => {
  files = await makeArchive([{ ...busybox, deb: Buffer.from('hello') }, ...kernel('9')], key)
  await expect(open()).rejects.toEqual(withCode('ARCHIVE_FORMAT_INVALID'))
})

test('without a network there is no first image', async () => {
  files.clear()
  await expect(open()).rejects.toEqual(withCode('DOWNLOAD_FAILED'))
  await expect(open({ mirror: 'http://127.0.0.1:9' })).rejects.toEqual(withCode('DOWNLOAD_FAILED'))
})

test('an unknown image is an error', async () => {
  await expect(openImage('toString')).rejects.toEqual(withCode('IMAGE_UNKNOWN'))
})

test('ends when it is told to, and goes on next time', async () => {
  const controller = new AbortController()
  const progress: OpenImageOptions['progress'] = () => controller.abort(new Error('enough'))
  await expect(open({ signal: controller.signal, progress })).rejects.toThrow('enough')
  expect(await open()).toBe('kernel 9')
})

test.skipIf(process.platform === 'win32')('a cache that cannot be used is an error', async () => {
  writeFileSync(join(cache, 'file'), '')
  await expect(open({ cache: join(cache, 'file', 'cache') })).rejects.toEqual(withCode('CACHE_UNUSABLE'))
  mkdirSync(join(cache, 'images'), { recursive: true })
  mkdirSync(join(cache, 'images', 'busybox.json'))
  await expect(open()).rejects.toEqual(withCode('CACHE_UNUSABLE'))
})

import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { openDisk } from '../../storage/open.ts'
import { isInstalled, ToolFolder } from '../../storage/testing/tools.ts'
import { hostEnvironment } from '../disks/environment.ts'
import { isHostname } from './hostname.ts'
import { seedDisk } from './seed-order.ts'
import { checkUserData, isPublicKey, needsSeed, parseKeys, seedFor } from './seed.ts'

const invalid = expect.objectContaining({ code: 'SEED_INVALID' })
const KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIP31bSHytCj6VfkNvwc10pE8WkH1tR anna@laptop'
const check = (text: string | Uint8Array): Promise<string> => checkUserData(typeof text === 'string' ? Buffer.from(text) : text, 'cloud.yaml')

test('name and keys are meta data, and user data stays as it was written', () => {
  const { metaData, userData } = seedFor({ hostname: 'web', sshKeys: [KEY, `${KEY} "quoted"`], userData: '#!/bin/sh\necho hello\n' }, 'guest')
  expect(parse(metaData)).toEqual({ 'instance-id': expect.stringMatching(/^tenon-[0-9a-f]{16}$/), 'local-hostname': 'web', 'public-keys': [KEY, `${KEY} "quoted"`] })
  expect(userData).toBe('#!/bin/sh\necho hello\n')
  expect(parse(seedFor({}, 'guest').metaData)).toEqual({ 'instance-id': expect.any(String) })
})

test('a guest is another instance when other things are wished of it, and only then', () => {
  const id = (...options: Parameters<typeof seedFor>): unknown => (parse(seedFor(...options).metaData) as Record<string, unknown>)['instance-id']
  expect(id({ hostname: 'a' }, 'x')).toBe(id({ hostname: 'a' }, 'x'))
  const different = [id({ hostname: 'a' }, 'x'), id({ hostname: 'b' }, 'x'), id({ hostname: 'a' }, 'y'), id({ hostname: 'a', sshKeys: [KEY] }, 'x'), id({ hostname: 'a', userData: '#!' }, 'x')]
  expect(new Set(different).size).toBe(5)
})

test('only who wishes something needs a seed', () => {
  expect([needsSeed({}), needsSeed({ sshKeys: [] }), needsSeed({ hostname: 'a' }), needsSeed({ sshKeys: [KEY] }), needsSeed({ userData: '' })]).toEqual([false, false, true, true, true])
})

test('files of keys are read, and private keys are not', () => {
  expect(parseKeys(`# mine\n\n${KEY}\r\necdsa-sha2-nistp256 AAAA\n`, 'k.pub')).toEqual([KEY, 'ecdsa-sha2-nistp256 AAAA'])
  expect(() => parseKeys('-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n', 'k')).toThrow('give the public one, k.pub')
  for (const text of ['', '# none', 'hello', `command="x" ${KEY}`, `${KEY}\nssh-rsa`]) expect(() => parseKeys(text, 'k'), text).toThrow(invalid)
  expect([isPublicKey(KEY), isPublicKey(`${KEY}\nssh-rsa AAAA`), isPublicKey('ssh-rsa')]).toEqual([true, false, false])
})

test('user data is what cloud-init knows', async () => {
  for (const text of ['#cloud-config\nusers: [default]\n', '#!/bin/sh\n', '#include\nhttp://x/\n', 'Content-Type: multipart/mixed; boundary=x\n', '## template: jinja\n#cloud-config\n']) {
    expect(await check(text)).toBe(text)
  }
  for (const text of ['', 'users: []', '# cloud-config', Uint8Array.of(0x1f, 0x8b, 8), new Uint8Array(2 << 20)]) await expect(check(text)).rejects.toEqual(invalid)
  await expect(check('#cloud-config\nusers: [\n  a: b: c\n')).rejects.toThrow(/^cloud\.yaml:[23]: /)
})

test('host names are those of the DNS', () => {
  for (const name of ['a', 'web-1', 'web.example.org', 'A9', 'x'.repeat(63)]) expect(isHostname(name), name).toBe(true)
  for (const name of ['', '-a', 'a-', 'a_b', 'a..b', 'a.', 'ä', 'x'.repeat(64), 'a\nb', `${'a.'.repeat(127)}aa`]) expect(isHostname(name), name).toBe(false)
})

test('a seed is a read-only disk that is the same each time', async () => {
  const { graph } = seedDisk(seedFor({ hostname: 'web', userData: '#cloud-config\n' }, 'guest'), 1_000_000_000)
  const read = async (): Promise<Uint8Array> => {
    const node = await openDisk(graph, hostEnvironment())
    expect(node.readOnly).toBe(true)
    const bytes = new Uint8Array(node.size)
    await node.read(0, [bytes])
    await expect(node.write(0, [new Uint8Array(512)])).rejects.toMatchObject({ code: 'DISK_READ_ONLY' })
    await node.close()
    return bytes
  }
  const bytes = await read()
  expect(Buffer.compare(await read(), bytes)).toBe(0)
  expect(Buffer.from(bytes.subarray(32_808, 32_814)).toString()).toBe('cidata')
  if (!isInstalled('isoinfo')) return
  const folder = new ToolFolder()
  writeFileSync(folder.at('seed.iso'), bytes)
  expect(execFileSync('isoinfo', ['-R', '-f', '-i', folder.at('seed.iso')], { encoding: 'utf8' }).trim().split('\n').sort()).toEqual(['/meta-data', '/user-data'])
  expect(execFileSync('isoinfo', ['-R', '-x', '/user-data', '-i', folder.at('seed.iso')], { encoding: 'utf8' })).toBe('#cloud-config\n')
})

test('a description of a seed that is wrong is refused', async () => {
  for (const fields of [{}, { metaData: 1, userData: '', time: 0 }, { metaData: 'a', userData: 'b', time: -1 }, { metaData: 'a', userData: 'b', time: 0, more: 1 }]) {
    await expect(openDisk({ kind: 'seed', ...fields }, hostEnvironment())).rejects.toMatchObject({ code: 'DISK_DESCRIPTION_INVALID' })
  }
})

import { spawn, spawnSync } from 'node:child_process'
import { linkSync, mkdtempSync, openSync, readdirSync, rmSync, statSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { RawNode } from '../../storage/nodes/raw.ts'
import { blockNodeContract } from '../../storage/testing/contract.ts'
import { openDiskFile, sizeOfDevice, type DiskFileOptions } from './disk-file.ts'
import { claimForSuspended } from './disk-lock.ts'
import { checkQemuLocks } from './qemu-locks.ts'

let folder: string
let path: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tenon-disk-'))
  path = join(folder, 'disk.img')
})

afterEach(() => rmSync(folder, { recursive: true }))

const has = (program: string): boolean => spawnSync(program, ['--version']).error === undefined
const code = (code: string): unknown => expect.objectContaining({ code })
const claims = (): string[] => readdirSync(folder).filter(name => name.startsWith('.tenon-lock'))

let disks = 0
blockNodeContract('raw on a file of the host', async ({ size, readOnly }) => {
  const each = join(folder, `disk-${disks++}`)
  const node = await RawNode.create(await openDiskFile(each, { create: true }), size)
  if (!readOnly) return node
  await node.close()
  return new RawNode(await openDiskFile(each, { readOnly: true }))
}, { persistent: false, resizable: true })

test('large and scattered transfers arrive whole, in guest memory as well', async () => {
  const memory = new WebAssembly.Memory({ initial: 64, maximum: 64, shared: true }).buffer
  const buffers = Array.from({ length: 3000 }, (_, at) => new Uint8Array(memory, at * 1024 + 1, 1000).fill(at % 251))
  const file = await openDiskFile(path, { create: true })
  await file.write(12_345, buffers)
  expect(file.size).toBe(12_345 + 3_000_000)
  const bytes = new Uint8Array(3_000_000)
  await file.read(12_345, [bytes.subarray(0, 7), bytes.subarray(7)])
  expect(bytes.every((value, at) => value === Math.floor(at / 1000) % 251)).toBe(true)
  const end = new Uint8Array(100).fill(1)
  await file.read(file.size - 50, [end])
  expect([...end.subarray(49, 52)]).toEqual([2999 % 251, 0, 0])
  await file.close()
})

test('flushes that overlap all end, and all cover what came before', async () => {
  const file = await openDiskFile(path, { create: true })
  await Promise.all(Array.from({ length: 20 }, async (_, at) => {
    await file.write(at * 512, [new Uint8Array(512)])
    await file.flush()
  }))
  await file.close()
  await expect(file.flush()).rejects.toEqual(code('DISK_CLOSED'))
})

test('holes are found in sparse files', async () => {
  const file = await openDiskFile(path, { create: true })
  await file.truncate(64 << 20)
  await file.write(10 << 20, [new Uint8Array(200_000).fill(1)])
  await file.flush()
  expect(await file.extent(0, 65536)).toEqual({ data: false, length: 65536 })
  expect(await file.extent(9 << 20, 64 << 20)).toEqual({ data: false, length: 1 << 20 })
  expect(await file.extent(10 << 20, 64 << 20)).toEqual({ data: true, length: 4 * 65536 })
  expect(await file.extent(64 << 20, 512)).toEqual({ data: false, length: 512 })
  await file.close()
})

test.skipIf(process.platform !== 'linux' || !has('fallocate'))('large discards give room back to the host, and read as zeros', async () => {
  const node = await RawNode.create(await openDiskFile(path, { create: true }), 16 << 20)
  await node.write(0, [new Uint8Array(16 << 20).fill(1)])
  await node.flush()
  const before = statSync(path).blocks
  await Promise.all([node.discard(1 << 20, 4 << 20), node.writeZeroes(8 << 20, 4 << 20, true)])
  await node.writeZeroes(512, 512, true)
  const bytes = new Uint8Array(16 << 20)
  await node.read(0, [bytes])
  const hole = (at: number): boolean => (at >= 1 << 20 && at < 5 << 20) || (at >= 8 << 20 && at < 12 << 20) || (at >= 512 && at < 1024)
  expect(bytes.findIndex((value, at) => value !== (hole(at) ? 0 : 1))).toBe(-1)
  expect(before - statSync(path).blocks).toBeGreaterThanOrEqual((8 << 20) / 512 - 64)
  expect(node.size).toBe(16 << 20)
  await node.close()
})

describe('what cannot be opened says why', () => {
  const CASES: readonly [expected: string, where: () => string, options: DiskFileOptions][] = [
    ['DISK_NOT_FOUND', () => join(folder, 'none.img'), {}],
    ['DISK_NOT_FOUND', () => join(path, 'below'), {}],
    ['DISK_UNSUPPORTED', () => folder, {}],
    ['DISK_UNSUPPORTED', () => '/dev/null', {}],
    ['DISK_EXISTS', () => path, { create: true }],
    ['DISK_NOT_FOUND', () => join(folder, 'none', 'new.img'), { create: true }],
  ]
  test.each(CASES)('%s', async (expected, where, options) => {
    writeFileSync(path, 'x')
    await expect(openDiskFile(where(), options)).rejects.toEqual(code(expected))
    expect(claims()).toEqual([])
  })

  test('a circle of links', async () => {
    symlinkSync(path, path)
    await expect(openDiskFile(path)).rejects.toEqual(code('DISK_NOT_FOUND'))
  })
})

/** Sets how large files of this process may become, by the tool of util-linux; Node has no call for it. */
const limitFiles = (bytes: number | string): boolean => spawnSync('prlimit', ['--pid', `${process.pid}`, `--fsize=${bytes}:`]).status === 0

test.skipIf(!has('prlimit'))('a host that takes no more is DISK_FULL, and what was there stays', async () => {
  const file = await openDiskFile(path, { create: true })
  await file.write(0, [new Uint8Array(4096).fill(5)])
  expect(limitFiles(65536)).toBe(true)
  try {
    await expect(file.write(60_000, [new Uint8Array(10_000)])).rejects.toEqual(code('DISK_FULL'))
    await expect(file.truncate(1 << 20)).rejects.toEqual(code('DISK_FULL'))
    await expect(file.write(0, [new Uint8Array(300_000).fill(5)])).rejects.toEqual(code('DISK_FULL'))
  } finally {
    limitFiles('unlimited')
  }
  expect(file.size).toBe(statSync(path).size)
  const bytes = new Uint8Array(4096)
  await file.read(0, [bytes])
  expect(bytes.every(value => value === 5)).toBe(true)
  await file.close()
})

test('the size of a device is found by reading', () => {
  for (const size of [0, 512, 4096, 4608, 8192, 1 << 20, (1 << 20) + 512, 5 * 2 ** 30]) {
    writeFileSync(path, '')
    truncateSync(path, size)
    expect(sizeOfDevice(openSync(path, 'r'))).toBe(size)
  }
})

const HOLDER = `
  import { openDiskFile } from './disk-file.ts'
  await openDiskFile(process.argv[2])
  console.log('open')
  setInterval(() => {}, 1000)
`

describe('locks', () => {
  test('one writer or several readers, under any name', async () => {
    writeFileSync(path, new Uint8Array(512))
    symlinkSync(path, join(folder, 'other'))
    linkSync(path, join(folder, 'hard'))
    const writer = await openDiskFile(path)
    for (const name of ['disk.img', 'other', 'hard']) {
      await expect(openDiskFile(join(folder, name))).rejects.toEqual(code('DISK_IN_USE'))
      await expect(openDiskFile(join(folder, name), { readOnly: true })).rejects.toEqual(code('DISK_IN_USE'))
    }
    const looker = await openDiskFile(path, { readOnly: true, lock: false })
    await looker.close()
    await writer.close()
    const readers = await Promise.all([1, 2, 3].map(() => openDiskFile(path, { readOnly: true })))
    await expect(openDiskFile(path)).rejects.toEqual(code('DISK_IN_USE'))
    await Promise.all(readers.map(reader => reader.close()))
    await openDiskFile(path).then(file => file.close())
    expect(claims()).toEqual([])
  })

  test('of many that come at once, one at a time gets it', async () => {
    writeFileSync(path, new Uint8Array(512))
    let open = 0
    const results = await Promise.allSettled(Array.from({ length: 8 }, async () => {
      const file = await openDiskFile(path)
      expect(++open).toBe(1)
      await new Promise(resolve => setTimeout(resolve, 5))
      open--
      await file.close()
    }))
    for (const result of results) if (result.status === 'rejected') expect(result.reason).toEqual(code('DISK_IN_USE'))
    expect(results.some(result => result.status === 'fulfilled')).toBe(true)
    expect(claims()).toEqual([])
  })

  test('what another process left when it was killed is taken over', async () => {
    writeFileSync(path, new Uint8Array(512))
    const script = join(folder, 'holder.mjs')
    await build({
      stdin: { contents: HOLDER, resolveDir: import.meta.dirname },
      bundle: true, platform: 'node', format: 'esm', outfile: script, logLevel: 'error',
    })
    const holder = spawn(process.execPath, [script, path], { stdio: ['ignore', 'pipe', 'inherit'] })
    await new Promise(resolve => holder.stdout.once('data', resolve))
    await expect(openDiskFile(path)).rejects.toThrow(`process ${holder.pid}`)
    const ended = new Promise(resolve => holder.once('exit', resolve))
    holder.kill('SIGKILL')
    await ended
    expect(claims()).toHaveLength(1)
    await openDiskFile(path).then(file => file.close())
    expect(claims()).toEqual([])
  })

  test('a named guest that has the disk is named', async () => {
    writeFileSync(path, new Uint8Array(512))
    const file = await openDiskFile(path, { guest: 'web' })
    await expect(openDiskFile(path)).rejects.toThrow(`the guest web (process ${process.pid}) has it open for writing; stop it first, with tenon stop web`)
    await file.close()
    const claim = join(folder, `.tenon-lock-${statSync(path).ino}-ff`)
    writeFileSync(claim, JSON.stringify({ mode: 'exclusive', process: 1, host: 'far', guest: '\u001b[2J', suspended: 5 }))
    await expect(openDiskFile(path)).rejects.toThrow('process 1 on far has it open for writing; close it there first')
  })

  test('what a suspended guest goes on with is read, and not written, for as long as its state is there', async () => {
    writeFileSync(path, new Uint8Array(512))
    const state = join(folder, 'suspended.json')
    writeFileSync(state, '')
    await claimForSuspended(path, { guest: 'web', suspended: state })
    await expect(openDiskFile(path)).rejects.toEqual(code('DISK_IN_USE'))
    await expect(openDiskFile(path)).rejects.toThrow('for the guest web, which is suspended')
    await openDiskFile(path, { readOnly: true }).then(file => file.close())
    await openDiskFile(path, { disturbSuspended: true }).then(file => file.close())
    expect(claims()).toHaveLength(1)
    // Disturbing one is not disturbing a writer.
    const writer = await openDiskFile(path, { disturbSuspended: true })
    await expect(openDiskFile(path, { disturbSuspended: true })).rejects.toThrow(`process ${process.pid} has it open`)
    await writer.close()
    rmSync(state)
    await openDiskFile(path).then(file => file.close())
    expect(claims()).toEqual([])
  })

  test('of another host nothing is known: its claim stands', async () => {
    writeFileSync(path, new Uint8Array(512))
    const claim = join(folder, `.tenon-lock-${statSync(path).ino}-ff`)
    const other = { mode: 'exclusive', process: 1, started: null, boot: null, processes: null, host: `${hostname()}-other` }
    writeFileSync(claim, JSON.stringify(other))
    await expect(openDiskFile(path)).rejects.toThrow(claim)
    writeFileSync(claim, 'garbage')
    await expect(openDiskFile(path)).rejects.toEqual(code('DISK_IN_USE'))
  })

  test('locks of QEMU are read from the list of the kernel', () => {
    writeFileSync(path, 'x')
    const stats = statSync(path, { bigint: true })
    const device = `${((stats.dev >> 8n) & 0xfffn).toString(16)}:${(stats.dev & 0xffn).toString(16)}`
    const place = `${device}:${stats.ino}`
    const line = (kind: string, first: number, last: number | string): string => `1: ${kind} ADVISORY  READ -1 ${place} ${first} ${last}\n`
    expect(() => checkQemuLocks(path, stats, true, `rubbish\n\n${line('FLOCK', 0, 'EOF')}${line('OFDLCK', 100, 100)}`)).not.toThrow()
    expect(() => checkQemuLocks(path, stats, true, line('OFDLCK', 201, 201))).toThrow('QEMU')
    expect(() => checkQemuLocks(path, stats, false, line('OFDLCK', 201, 201))).not.toThrow()
    expect(() => checkQemuLocks(path, stats, false, line('OFDLCK', 100, 101))).toThrow('QEMU')
  })

  test.skipIf(process.platform !== 'linux' || !has('qemu-io'))('a disk that QEMU writes is not opened', async () => {
    writeFileSync(path, new Uint8Array(1 << 20))
    const qemu = spawn('qemu-io', ['-f', 'raw', path], { stdio: ['pipe', 'pipe', 'inherit'] })
    const ended = new Promise(resolve => qemu.once('exit', resolve))
    qemu.stdin.write('read 0 512\n')
    await new Promise(resolve => qemu.stdout.once('data', resolve))
    await expect(openDiskFile(path)).rejects.toEqual(code('DISK_IN_USE'))
    await expect(openDiskFile(path, { readOnly: true })).rejects.toEqual(code('DISK_IN_USE'))
    qemu.stdin.end('quit\n')
    await ended
    await openDiskFile(path).then(file => file.close())
  })
})

import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Random } from '../../base/testing/random.ts'
import type { BlockNode } from '../../storage/block-node.ts'
import { NbdServer } from '../../storage/nbd/server.ts'
import { MemoryNode } from '../../storage/nodes/memory.ts'
import { openDisk } from '../../storage/open.ts'
import { blockNodeContract } from '../../storage/testing/contract.ts'
import { expectContent, readAll } from '../../storage/testing/disk-model.ts'
import { hostEnvironment } from './environment.ts'
import { hostTimer } from './host-timer.ts'
import { listenNbd, listNbd, type NbdListener, openNbd } from './nbd.ts'
import { formatNbdUri } from './nbd-uri.ts'

const has = (command: string) => spawnSync(command, ['--version']).error === undefined
const hasQemu = has('qemu-img') && has('qemu-nbd') && has('qemu-io')
const hasNbdkit = has('nbdkit')
if (!hasQemu) console.warn('qemu-utils are not installed: NBD is not tested with them')
if (!hasNbdkit) console.warn('nbdkit is not installed: NBD is not tested with it')

const SIZE = 4 << 20
const code = (code: string) => expect.objectContaining({ code })
let folder: string
const processes: ChildProcess[] = []
const closing: (() => Promise<void>)[] = []

beforeEach(async () => { folder = await mkdtemp(join(tmpdir(), 'tenon-nbd-')) })
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
  for (const child of processes.splice(0)) await stop(child)
  await rm(folder, { recursive: true, force: true })
})

function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve()
  return new Promise((resolve) => {
    child.once('exit', () => resolve())
    child.kill('SIGKILL')
  })
}

/** A socket is there before somebody listens. */
function isListening(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path, () => { socket.destroy(); resolve(true) })
    socket.on('error', () => resolve(false))
  })
}

/** Starts a server on a Unix socket in `folder`, and waits until it listens. */
async function start(command: string, options: string[], name = 'socket'): Promise<ChildProcess> {
  const child = spawn(command, options, { stdio: ['ignore', 'ignore', 'pipe'] })
  processes.push(child)
  let said = ''
  child.stderr.on('data', (data: Buffer) => { said += data.toString() })
  for (let round = 0; round < 500 && !await isListening(join(folder, name)); round++) {
    if (child.exitCode !== null) throw new Error(`${command} has ended: ${said}`)
    await new Promise((resolve) => { setTimeout(resolve, 20) })
  }
  return child
}

const nbdkit = (...options: string[]) => start('nbdkit', ['-f', '-U', join(folder, 'socket'), ...options])
const qemuNbd = (...options: string[]) => start('qemu-nbd', ['-k', join(folder, 'socket'), '-t', ...options])
const socketUri = (name = '') => formatNbdUri({ address: { kind: 'unix', path: join(folder, 'socket') }, exportName: name })

/** Runs a tool while our server answers it. */
function run(command: string, ...options: string[]): Promise<string> {
  const child = spawn(command, options, { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data: Buffer) => { output += data.toString() })
  return new Promise((resolve, reject) => {
    child.once('close', status => status === 0 ? resolve(output) : reject(new Error(`${command} ${options.join(' ')}: ${output}`)))
  })
}

async function open(uri: string, options: Parameters<typeof openNbd>[1] = {}): Promise<BlockNode> {
  const node = await openNbd(uri, options)
  closing.push(() => node.close())
  return node
}

async function listen(node: BlockNode, options: { readOnly?: boolean, tcp?: boolean } = {}): Promise<{ uri: string, server: NbdServer, listener: NbdListener }> {
  const server = new NbdServer({ timers: hostTimer })
  server.add({ name: 'disk', node, readOnly: options.readOnly })
  const path = join(folder, 'socket')
  const listener = await listenNbd(server, options.tcp === true ? { kind: 'tcp', host: '127.0.0.1', port: 0 } : { kind: 'unix', path })
  closing.push(async () => {
    await server.close()
    await listener.close()
  })
  return { uri: formatNbdUri({ address: listener.address, exportName: 'disk' }), server, listener }
}

describe('over sockets of our own', () => {
  test.each([true, false])('client and server speak (TCP: %s)', async (tcp) => {
    const memory = new MemoryNode({ size: SIZE })
    const { uri } = await listen(memory, { tcp })
    const [one, other] = [await open(uri), await open(uri)]
    const bytes = new Random(1).bytes(3 << 20)
    await one.write(1000, [bytes])
    expectContent(await readAll(other, 1000, bytes.length), bytes)
    expect(await listNbd(uri)).toEqual([{ name: 'disk', description: '' }])
  })

  test('a description of a disk may have one in it', async () => {
    const memory = new MemoryNode({ size: SIZE })
    const { uri } = await listen(memory)
    const environment = hostEnvironment()
    const node = await openDisk({ kind: 'throttle', bytesPerSecond: 1e9, node: { kind: 'nbd', uri, retries: 0 } }, environment)
    await node.write(5, [new Uint8Array([7])])
    await node.close()
    expect((await readAll(memory, 5, 1))[0]).toBe(7)
    await expect(openDisk({ kind: 'nbd', uri, retry: 0 }, environment)).rejects.toEqual(code('DISK_DESCRIPTION_INVALID'))
    await expect(openDisk({ kind: 'nbd' }, environment)).rejects.toEqual(code('DISK_DESCRIPTION_INVALID'))
  })

  test('memory that is shared between threads can be read into and written from', async () => {
    const { uri } = await listen(new MemoryNode({ size: SIZE }))
    const node = await open(uri)
    const shared = new Uint8Array(new SharedArrayBuffer(8192))
    shared.fill(5)
    await node.write(0, [shared.subarray(0, 4096)])
    await node.read(2048, [shared])
    expect([shared[0], shared[2047], shared[2048], shared[8191]]).toEqual([5, 5, 0, 0])
  })

  test('a socket is private; one that is left over is replaced, one in use is not', async () => {
    const { listener } = await listen(new MemoryNode({ size: SIZE }))
    const path = join(folder, 'socket')
    expect((await stat(path)).mode & 0o077).toBe(0)
    const server = new NbdServer({ timers: hostTimer })
    await expect(listenNbd(server, listener.address)).rejects.toEqual(code('DISK_IN_USE'))
    await writeFile(join(folder, 'file'), 'x')
    await expect(listenNbd(server, { kind: 'unix', path: join(folder, 'file') })).rejects.toEqual(code('DISK_IN_USE'))
    expect(await readFile(join(folder, 'file'), 'utf8')).toBe('x')
    const dead = `require('node:net').createServer().listen(${JSON.stringify(join(folder, 'dead'))}, () => process.kill(process.pid, 'SIGKILL'))`
    spawnSync(process.execPath, ['-e', dead])
    expect(existsSync(join(folder, 'dead'))).toBe(true)
    await (await listenNbd(server, { kind: 'unix', path: join(folder, 'dead') })).close()
    await expect(listenNbd(server, { kind: 'tcp', host: '203.0.113.1', port: 0 })).rejects.toEqual(code('DISK_PEER_FAILED'))
  })

  test('nobody there is an error that says so', async () => {
    await expect(openNbd(socketUri())).rejects.toThrow(/there is no such socket/)
    const { uri, server, listener } = await listen(new MemoryNode({ size: SIZE }), { tcp: true })
    await server.close()
    await listener.close()
    await expect(openNbd(uri)).rejects.toThrow(/nobody listens there/)
  })

  test('a server that takes the connection and says nothing is given up', async () => {
    const silent = createServer(() => {})
    await new Promise<void>((resolve) => { silent.listen(join(folder, 'socket'), resolve) })
    await expect(openNbd(socketUri(), { timeout: 200 })).rejects.toEqual(code('DISK_PEER_FAILED'))
    silent.close()
  })
})

describe.skipIf(!hasQemu)('with the tools of QEMU', () => {
  const pattern = (image: string) => run('qemu-io', '-f', 'raw', '-c', 'write -P 17 64k 128k', '-c', 'write -P 34 1000000 5000', '-c', 'flush', image)

  async function expectPattern(node: BlockNode): Promise<void> {
    const expected = new Uint8Array(SIZE).fill(17, 65536, 3 * 65536).fill(34, 1_000_000, 1_005_000)
    expectContent(await readAll(node), expected)
  }

  test('qemu-io writes to our server, at any alignment', async () => {
    const memory = new MemoryNode({ size: SIZE })
    const { uri } = await listen(memory)
    await pattern(uri)
    await expectPattern(memory)
    await run('qemu-io', '-f', 'raw', '-c', 'read -P 17 64k 128k', '-c', 'read -P 0 3M 1M', '-c', 'write -z -u 64k 64k', '-c', 'discard 128k 64k', uri)
    expectContent(await readAll(memory, 65536, 65536), new Uint8Array(65536))
  })

  test('qemu-img converts to, from and compares with our server', async () => {
    const memory = new MemoryNode({ size: SIZE })
    const { uri } = await listen(memory, { tcp: true })
    const source = join(folder, 'source.raw')
    const bytes = new Random(2).bytes(SIZE)
    bytes.fill(0, 1 << 20, 3 << 20)
    await writeFile(source, bytes)
    await run('qemu-img', 'convert', '-n', '-f', 'raw', '-O', 'raw', source, uri)
    expectContent(await readAll(memory), bytes)
    await run('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', source, uri)
    await run('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', uri, join(folder, 'copy.qcow2'))
    await run('qemu-img', 'compare', '-f', 'qcow2', '-F', 'raw', join(folder, 'copy.qcow2'), uri)
    const map = JSON.parse(await run('qemu-img', 'map', '-f', 'raw', '--output=json', uri)) as { start: number, zero: boolean }[]
    expect(map.map(({ start, zero }) => [start, zero])).toEqual([[0, false], [1 << 20, true], [3 << 20, false]])
  })

  test('qemu-img may not write to what is read-only', async () => {
    const { uri } = await listen(new MemoryNode({ size: SIZE }), { readOnly: true })
    await expect(pattern(uri)).rejects.toThrow(/Permission denied|[Rr]ead-only/)
    await run('qemu-io', '-r', '-f', 'raw', '-c', 'read -P 0 0 4M', uri)
  })

  test('our client works on qemu-nbd, and on what it knows of holes', async () => {
    const image = join(folder, 'disk.qcow2')
    await run('qemu-img', 'create', '-f', 'qcow2', image, String(SIZE))
    await qemuNbd('-f', 'qcow2', '-x', 'the disk', '-e', '4', image)
    expect(await listNbd(socketUri())).toMatchObject([{ name: 'the disk' }])
    await expect(openNbd(socketUri('other'))).rejects.toEqual(code('DISK_NOT_FOUND'))
    const node = await open(socketUri('the disk'))
    await node.write(65536, [new Uint8Array(131072).fill(17)])
    await node.write(1_000_000, [new Uint8Array(5000).fill(34)])
    expect(await node.extent(0, SIZE)).toEqual({ state: 'hole', length: 65536 })
    expect(await node.extent(65536, 1000)).toEqual({ state: 'data', length: 1000 })
    await expectPattern(node)
    await node.flush()
    await run('qemu-io', '-f', 'raw', '-r', '-c', 'read -P 34 1000000 5000', '-c', 'read -P 17 64k 128k', socketUri('the disk'))
  })

  test('our client goes on when qemu-nbd is killed and started again', async () => {
    const image = join(folder, 'disk.raw')
    await writeFile(image, new Uint8Array(SIZE))
    const first = await qemuNbd('-f', 'raw', image)
    const node = await open(socketUri(), { retries: 20 })
    await node.write(0, [new Uint8Array(SIZE).fill(1)])
    await stop(first)
    await rm(join(folder, 'socket'), { force: true })
    const read = readAll(node)
    await qemuNbd('-f', 'raw', image)
    expectContent(await read, new Uint8Array(SIZE).fill(1))
  })
})

describe.skipIf(!hasNbdkit)('with nbdkit', () => {
  test('blocks of 4096 bytes are read and written around', async () => {
    await nbdkit('--filter=blocksize-policy', 'memory', String(SIZE), 'blocksize-minimum=4096', 'blocksize-preferred=4096', 'blocksize-maximum=64K', 'blocksize-error-policy=error')
    const node = await open(socketUri())
    const bytes = new Random(4).bytes(300_000)
    await Promise.all([0, 1, 2, 3, 4, 5].map(index => node.write(777 + index * 50_000, [bytes.subarray(index * 50_000, (index + 1) * 50_000)])))
    expectContent(await readAll(node, 777, bytes.length), bytes)
    await node.writeZeroes(1000, 20_000, false)
    await node.discard(40_000, 20_000)
    const expected = bytes.slice()
    expected.fill(0, 1000 - 777, 21_000 - 777)
    expectContent(await readAll(node, 777, 30_000), expected.subarray(0, 30_000))
    expect(await node.extent(5, 100)).toEqual({ state: 'data', length: 100 })
  })

  test.each([
    ['without structured replies', ['--no-sr', 'memory', String(SIZE)]],
    ['in the oldest newstyle', ['--mask-handshake=0', 'memory', String(SIZE)]],
    ['without writes of zeros or extents', ['--filter=nozero', '--filter=noextents', 'memory', String(SIZE)]],
    ['one request at a time', ['--filter=noparallel', 'memory', String(SIZE)]],
    ['slowly, in changing order', ['--filter=delay', 'memory', String(SIZE), 'rdelay=2ms', 'wdelay=1ms']],
  ])('a server that works %s', async (_, options) => {
    await nbdkit(...options)
    const node = await open(socketUri())
    const bytes = new Random(4).bytes(200_000)
    await Promise.all([0, 1, 2, 3].map(index => node.write(777 + index * 50_000, [bytes.subarray(index * 50_000, (index + 1) * 50_000)])))
    await node.writeZeroes(777, 1000, true)
    bytes.fill(0, 0, 1000)
    expectContent(await readAll(node, 777, bytes.length), bytes)
    await node.flush()
  })

  test('its errors come through, and the disk stays usable', async () => {
    await writeFile(join(folder, 'fail'), '')
    await nbdkit('--filter=error', 'memory', String(SIZE), 'error=ENOSPC', 'error-pwrite-rate=1', `error-pwrite-file=${join(folder, 'fail')}`)
    const node = await open(socketUri())
    await expect(node.write(0, [new Uint8Array(4096)])).rejects.toEqual(code('DISK_FULL'))
    expectContent(await readAll(node, 0, 4096), new Uint8Array(4096))
    await rm(join(folder, 'fail'))
    await node.write(0, [new Uint8Array(4096).fill(3)])
    expectContent(await readAll(node, 0, 4096), new Uint8Array(4096).fill(3))
  })

  test('one that stalls is given up in time', async () => {
    await nbdkit('--filter=delay', 'memory', String(SIZE), 'rdelay=60')
    const node = await openNbd(socketUri(), { timeout: 300, retries: 1 })
    await expect(node.read(0, [new Uint8Array(512)])).rejects.toEqual(code('DISK_PEER_FAILED'))
    await node.close()
  })

  test('one that insists on TLS is said to', async () => {
    await writeFile(join(folder, 'keys'), 'somebody:00112233445566778899aabbccddeeff\n')
    await nbdkit('--tls=require', `--tls-psk=${join(folder, 'keys')}`, 'memory', String(SIZE))
    await expect(openNbd(socketUri())).rejects.toEqual(code('DISK_UNSUPPORTED'))
  })
})

describe.skipIf(!hasNbdkit)('the contract of block nodes over nbdkit', () => {
  blockNodeContract('nbd over a Unix socket', async ({ size, readOnly }) => {
    await rm(join(folder, 'socket'), { force: true })
    await nbdkit(...readOnly ? ['-r'] : [], '--filter=blocksize-policy', 'memory', String(size), 'blocksize-minimum=512', 'blocksize-preferred=4096', 'blocksize-error-policy=error')
    return openNbd(socketUri())
  }, { persistent: false })
})

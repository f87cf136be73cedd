/**
 * A vsock of the built machine, with the stock driver of Debian's kernel: one boot, then a snapshot of it. The build must be up to date:
 * `npm test` sees to it.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import type { Server, Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { imageUnavailable } from '../../../test/images.ts'
import { writeCpio } from '../images/formats/cpio.ts'
import { openImage } from '../images/open-image.ts'
import type { MachineSession, ResumeMachine, StartMachine } from '../machine/session.ts'

const LONG = 900_000
const MEMORY = 192 << 20
const hasCompiler = spawnSync('gcc', ['--version']).status === 0
if (!hasCompiler) process.stderr.write('skipped: a vsock of a guest: there is no gcc to build the program for the guest\n')
const unavailable = !hasCompiler || await imageUnavailable() !== undefined

let startMachine: StartMachine
let resumeMachine: ResumeMachine
let folder: string
let path: string
const listeners: Server[] = []

beforeAll(async () => {
  const compiled = new URL('../../../dist/host/machine/start.js', import.meta.url)
  if (!existsSync(compiled)) throw new Error('there is no build in dist/: npm run build');
  ({ startMachine, resumeMachine } = await import(compiled.href) as { startMachine: StartMachine, resumeMachine: ResumeMachine })
  folder = mkdtempSync(join(tmpdir(), 'tenon-vsock-'))
  path = join(folder, 'vsock')
})

afterAll(() => {
  for (const listener of listeners) listener.close()
  rmSync(folder, { recursive: true })
})

/** The guest's shell, on COM1, over both machines. */
class Shell {
  text = ''
  session!: MachineSession

  readonly owner = { receive: (bytes: Uint8Array): boolean => {
    this.text += Buffer.from(bytes).toString('latin1')
    return true
  } }

  async until(enough: (text: string) => boolean): Promise<void> {
    const end = performance.now() + LONG / 2
    while (!enough(this.text)) {
      if (performance.now() > end) throw new Error(`the guest does not answer:\n${this.text.slice(-2000)}`)
      await new Promise(resolve => { setTimeout(resolve, 5) })
    }
  }

  async command(text: string): Promise<string> {
    const from = this.text.length
    await this.session.serial[0].write(Buffer.from(`echo BEGIN""OF; ${text}; echo END""OF\n`))
    await this.until(all => all.slice(from).includes('ENDOF\r\n'))
    return /BEGINOF\r\n([^]*)ENDOF/.exec(this.text.slice(from))![1].replaceAll('\r', '')
  }
}

/** The image's files, and the guest's program. */
async function bootFiles(): Promise<{ kernel: Uint8Array, initrd: Uint8Array }> {
  const source = fileURLToPath(new URL('../../../test/devices/streams.c', import.meta.url))
  execFileSync('gcc', ['-O1', '-static', '-s', '-o', join(folder, 'streams'), source])
  const program = writeCpio([{ path: 'streams', kind: 'file', permissions: 0o755, data: readFileSync(join(folder, 'streams')) }])
  const { kernel, initrd } = await openImage('busybox')
  return { kernel: new Uint8Array(kernel), initrd: Buffer.concat([initrd, Buffer.alloc(-initrd.length & 3), program]) }
}

function echoAt(port: number): Promise<void> {
  const listener = createServer({ allowHalfOpen: true }, socket => void socket.pipe(socket).on('error', () => {}))
  listeners.push(listener)
  return new Promise(resolve => { listener.listen(`${path}_${port}`, resolve) })
}

/** Asks for a port of the guest until somebody listens there, and says something. */
async function call(port: number, words: string): Promise<Socket> {
  for (;;) {
    const socket = connect(path)
    socket.write(`CONNECT ${port}\n${words}`)
    const isOpen = await new Promise(resolve => { socket.once('data', () => resolve(true)).once('end', () => resolve(false)) })
    if (isOpen) return socket
    socket.destroy()
  }
}

test.skipIf(unavailable)('Debian\'s driver reaches the host, is reached, and goes on after a snapshot without its streams', async () => {
  const shell = new Shell()
  const vsock = { path, cid: 42 }
  const commandLine = 'console=ttyS0 quiet panic=-1 rdinit=/bin/busybox -- sh'
  shell.session = await startMachine({ memoryBytes: MEMORY, ...await bootFiles(), commandLine, serial: [shell.owner], vsock })
  await shell.until(text => text.includes('/ # '))
  const mounts = 'mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev'
  expect(await shell.command(`/bin/busybox --install -s /bin; ${mounts}; dmesg -n 1; modprobe -a virtio_pci vmw_vsock_virtio_transport; echo $?`)).toBe('0\n')
  await echoAt(1234)
  expect(await shell.command('/streams connect 1234 1000000')).toBe('cid 42: 1000000 bytes came back\n')
  expect(await shell.command('/streams connect 99 1')).toMatch(/connect: Connection reset by peer/)

  await shell.command('/streams listen 777 & true')
  const socket = await call(777, 'hello')
  const text = await new Promise<string>(resolve => { socket.once('data', bytes => resolve(bytes.toString())) })
  expect(text).toBe('hello')

  const over = new Promise(resolve => { socket.once('close', resolve) })
  const snapshot = join(folder, 'snapshot')
  await shell.session.snapshots!.pause()
  await shell.session.snapshots!.save(snapshot)
  shell.session.kill()
  await shell.session.exited
  await over
  expect(readdirSync(folder).toSorted()).toEqual(['snapshot', 'streams', 'vsock_1234'])

  shell.session = await resumeMachine({ memoryBytes: MEMORY, serial: [shell.owner], vsock, snapshot })
  // Its stream is reset, so that it ends.
  await shell.command('wait')
  expect(await shell.command('/streams connect 1234 100000')).toBe('cid 42: 100000 bytes came back\n')
  shell.session.kill()
  await shell.session.exited
}, LONG)

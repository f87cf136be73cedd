import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { MachineExit } from '../../machine/machine-exit.ts'
import type { MachineSession, SerialOwner, StartMachine } from '../../machine/session.ts'

/** One each: QEMU loses edges of an interrupt that two serial ports share. */
const INTERRUPTS = [4, 3, 5, 7]

/** A machine by QEMU, for tests of what runs in guests: what works there and not in our machine is the machine's fault. */
export const startQemuMachine: StartMachine = async options => {
  const folder = mkdtempSync(join(tmpdir(), 'tenon-qemu-'))
  writeFileSync(join(folder, 'kernel'), options.kernel)
  if (options.initrd !== undefined) writeFileSync(join(folder, 'initrd'), options.initrd)
  const lines = [0, 1, 2, 3].map(index => connect(join(folder, `serial${index}`)))
  const events = connect(join(folder, 'qmp'))
  const qemu = spawn('qemu-system-x86_64', [
    '-accel', 'tcg', '-m', `${options.memoryBytes / 1024 ** 2}`, '-nodefaults', '-display', 'none', '-no-reboot',
    '-kernel', join(folder, 'kernel'), ...options.initrd === undefined ? [] : ['-initrd', join(folder, 'initrd')],
    '-append', options.commandLine, '-chardev', `socket,id=qmp,path=${join(folder, 'qmp')}`, '-mon', 'chardev=qmp,mode=control',
    ...lines.flatMap((_, index) => [
      '-chardev', `socket,id=s${index},path=${join(folder, `serial${index}`)}`,
      '-device', `isa-serial,index=${index},irq=${INTERRUPTS[index]},chardev=s${index}`,
    ]),
  ], { stdio: ['ignore', 'ignore', 'inherit'] })
  const kill = (): void => void qemu.kill('SIGKILL')
  options.signal?.addEventListener('abort', kill)
  if (options.signal?.aborted) kill()
  process.on('exit', kill)
  let reason: MachineExit['reason'] = 'failed'
  const monitor = await events
  monitor.write('{"execute":"qmp_capabilities"}\n')
  monitor.on('data', (text: Buffer) => {
    if (text.includes('guest-shutdown')) reason = 'power-off'
    if (text.includes('guest-reset')) reason = 'reset'
  })
  const sockets = await Promise.all(lines)
  const closed = sockets.map(socket => new Promise(resolve => socket.once('close', resolve)))
  sockets.forEach((socket, index) => listen(socket, options.serial[index]))
  const exited = once(qemu, 'exit').then(async ([, signal]): Promise<MachineExit> => {
    process.off('exit', kill)
    if (signal !== null) sockets.forEach(socket => socket.destroy())
    await Promise.all(closed)
    rmSync(folder, { recursive: true })
    return { reason: signal === null ? reason : 'killed', detail: '' }
  })
  const session: MachineSession = {
    exited,
    serial: sockets.map(socket => ({
      write: bytes => new Promise(resolve => socket.write(bytes, () => resolve())),
      resume: () => void socket.resume(),
    })),
    powerButton: () => void monitor.write('{"execute":"system_powerdown"}\n'),
    kill,
  }
  return session
}

function connect(path: string): Promise<Socket> {
  return new Promise(resolve => {
    const server = createServer(socket => {
      server.close()
      resolve(socket)
    }).listen(path)
  })
}

function listen(socket: Socket, owner: SerialOwner | undefined): void {
  socket.on('error', () => {})
  socket.on('data', (bytes: Buffer) => {
    if (owner?.receive(bytes) === false) socket.pause()
  })
}

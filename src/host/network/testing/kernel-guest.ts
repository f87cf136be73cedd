import { execFile, execFileSync, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { createSocket } from 'node:dgram'
import type { Socket } from 'node:dgram'
import { existsSync } from 'node:fs'
import { promisify } from 'node:util'

/**
 * The kernel's own TCP as a guest: a network namespace with a TAP, whose frames `socat` carries to a UDP socket. It needs root, and the
 * programs `ip` and `socat`.
 */
export class KernelGuest {
  static readonly ADDRESS = '10.99.77.2'
  static readonly GATEWAY = '10.99.77.1'
  private readonly name = `tenon${process.pid}`
  private readonly tap = `tn${process.pid}`
  private readonly socket: Socket = createSocket('udp4')
  private relay: ChildProcess | null = null
  private readonly children: ChildProcess[] = []
  private relayPort = 0
  onFrame: (frame: Uint8Array) => void = () => { }

  /** Why there can be none here; undefined if there can. */
  static get obstacle(): string | undefined {
    if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'this needs root on Linux'
    if (!existsSync('/dev/net/tun')) return 'this computer has no TAP'
    return KernelGuest.missingProgram()
  }

  private static missingProgram(): string | undefined {
    const missing = ['ip', 'socat', 'curl'].find(name => !(process.env.PATH ?? '').split(':').some(folder => existsSync(`${folder}/${name}`)))
    return missing === undefined ? undefined : `${missing} is not installed`
  }

  async start(): Promise<void> {
    await new Promise<void>(resolve => { this.socket.bind(0, '127.0.0.1', resolve) })
    this.socket.setRecvBufferSize(8 << 20)
    this.socket.setSendBufferSize(8 << 20)
    this.socket.on('message', (frame, peer) => {
      this.relayPort = peer.port
      this.onFrame(frame)
    })
    const port = await this.startRelay()
    this.relayPort = port
    execFileSync('ip', ['netns', 'add', this.name])
    await this.moveTap()
    const commands = ['link set lo up', `addr add ${KernelGuest.ADDRESS}/24 dev ${this.tap}`, `link set ${this.tap} up`, `route add default via ${KernelGuest.GATEWAY}`]
    for (const command of commands) execFileSync('ip', ['-n', this.name, ...command.split(' ')])
  }

  send(frame: Uint8Array): void { this.socket.send(Buffer.from(frame), this.relayPort, '127.0.0.1') }

  /** Runs a program in the namespace. */
  async run(program: string, ...options: string[]): Promise<string> {
    const { stdout } = await promisify(execFile)('ip', ['netns', 'exec', this.name, program, ...options], { maxBuffer: 256 << 20, encoding: 'latin1' })
    return stdout
  }

  spawn(program: string, ...options: string[]): ChildProcess {
    const child = spawn('ip', ['netns', 'exec', this.name, program, ...options], { stdio: ['pipe', 'pipe', 'inherit'] })
    this.children.push(child)
    return child
  }

  stop(): void {
    this.relay?.kill()
    for (const child of this.children) child.kill()
    this.socket.close()
    try {
      execFileSync('ip', ['netns', 'del', this.name], { stdio: 'ignore' })
    } catch { /* it was never made */ }
  }

  private async startRelay(): Promise<number> {
    const probe = createSocket('udp4')
    await new Promise<void>(resolve => { probe.bind(0, '127.0.0.1', resolve) })
    const { port } = probe.address()
    probe.close()
    const options = `tun-name=${this.tap},tun-type=tap,iff-no-pi`
    const udp = `UDP4:127.0.0.1:${this.socket.address().port},bind=127.0.0.1:${port},rcvbuf=8000000,sndbuf=8000000`
    this.relay = spawn('socat', ['-b', '70000', `TUN:10.99.77.9/30,${options}`, udp], { stdio: 'inherit' })
    return port
  }

  private async moveTap(): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      try {
        execFileSync('ip', ['link', 'set', this.tap, 'netns', this.name], { stdio: attempt < 100 ? 'ignore' : 'inherit' })
        return
      } catch (error) {
        if (attempt === 100) throw error
        await new Promise(resolve => setTimeout(resolve, 20))
      }
    }
  }
}

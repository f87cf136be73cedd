import { execFile, execFileSync, spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { promisify } from 'node:util'
import { completeChecksum, FrameFinisher } from '../../../machine/frame-offload.ts'
import { plainFrame, type Frame, type FrameEnd } from '../../../machine/frame.ts'

const LONGEST_FRAME = 1514
/** Bytes, so that a busy computer does not lose frames: the kernel gives what it may. */
const SOCKET_BUFFER = 4 << 20

/** Why a test can have no TAP here, or undefined. */
export function tapObstacle(programs: readonly string[]): string | undefined {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'needs root on Linux'
  if (!existsSync('/dev/net/tun')) return 'needs /dev/net/tun'
  const folders = (process.env.PATH ?? '').split(':')
  const missing = ['ip', 'socat', ...programs].find(name => !folders.some(folder => existsSync(`${folder}/${name}`)))
  return missing === undefined ? undefined : `needs the program ${missing}`
}

/**
 * The host's kernel as a guest: a network namespace with a TAP and no address yet. `socat` carries frames between the TAP and a UDP socket.
 */
export class TapGuest implements FrameEnd {
  readonly tap = `tap${process.pid}`
  private readonly namespace = `tenon-guest-${process.pid}`
  private readonly socket: Socket = createSocket('udp4')
  private readonly finisher = new FrameFinisher(LONGEST_FRAME)
  private readonly started: ChildProcess[] = []
  private relay: ChildProcess | undefined
  private relayPort = 0
  private other: FrameEnd | undefined

  async start(): Promise<void> {
    this.socket.bind(0, '127.0.0.1')
    await once(this.socket, 'listening')
    this.socket.setRecvBufferSize(SOCKET_BUFFER)
    this.socket.setSendBufferSize(SOCKET_BUFFER)
    execFileSync('ip', ['netns', 'add', this.namespace])
    const { port } = this.socket.address()
    const tap = `TUN,tun-name=${this.tap},tun-type=tap,iff-no-pi,iff-up`
    const udp = `UDP4:127.0.0.1:${port},rcvbuf=${SOCKET_BUFFER},sndbuf=${SOCKET_BUFFER}`
    this.relay = spawn('socat', ['-b', '70000', tap, udp], { stdio: 'ignore' })
    await this.moveTap()
    for (const name of ['lo', this.tap]) execFileSync('ip', ['-n', this.namespace, 'link', 'set', name, 'up'])
    // The first frames are the kernel's own; they tell the relay's port.
    const [, { port: relayPort }] = await once(this.socket, 'message') as [Buffer, { port: number }]
    this.relayPort = relayPort
    this.socket.on('message', (bytes) => { this.other?.receive(plainFrame(bytes)) })
  }

  /** Frames of the guest's go there from now on. */
  connect(other: FrameEnd): void { this.other = other }

  receive(frame: Frame): boolean {
    if (frame.segmentation === 'none') {
      const copy = { ...frame, bytes: frame.bytes.slice(frame.start, frame.start + frame.length), start: 0 }
      completeChecksum(copy)
      this.send(copy.bytes)
    } else if (this.finisher.begin(frame)) {
      for (let index = 0; index < this.finisher.plan.count; index++) {
        this.finisher.cut(frame, index)
        this.send(this.finisher.segment.bytes.slice(0, this.finisher.segment.length))
      }
    }
    return true
  }

  ready(): void { /* It refuses nothing. */ }

  /** Runs a program in the namespace; its output, whatever its exit status. */
  async run(program: string, ...options: string[]): Promise<string> {
    const result = promisify(execFile)('ip', ['netns', 'exec', this.namespace, program, ...options], { timeout: 60_000 })
    const { stdout, stderr } = await result.catch((error: { stdout: string, stderr: string }) => error)
    return stdout + stderr
  }

  /** Starts a program that runs until `stop`. */
  launch(program: string, ...options: string[]): ChildProcess {
    const child = spawn('ip', ['netns', 'exec', this.namespace, program, ...options], { stdio: 'ignore' })
    this.started.push(child)
    return child
  }

  stop(): void {
    for (const child of [...this.started, this.relay]) child?.kill()
    this.socket.close()
    execFileSync('ip', ['netns', 'del', this.namespace], { stdio: 'ignore' })
  }

  private send(bytes: Uint8Array): void { this.socket.send(bytes, this.relayPort, '127.0.0.1') }

  /** To bring it up is the last that `socat` does with its TAP: moved before, it would not find it any more, and give up. */
  private async moveTap(): Promise<void> {
    for (let attempt = 0; attempt < 200; attempt++) {
      if (this.isUp()) {
        execFileSync('ip', ['link', 'set', this.tap, 'netns', this.namespace], { stdio: 'ignore' })
        return
      }
      await new Promise((resolve) => { setTimeout(resolve, 50) })
    }
    throw new Error('the TAP does not appear')
  }

  private isUp(): boolean {
    return spawnSync('ip', ['-o', 'link', 'show', this.tap], { encoding: 'utf8' }).stdout.includes(',UP')
  }
}

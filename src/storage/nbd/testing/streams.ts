import type { Random } from '../../../base/testing/random.ts'
import { gather } from '../../buffers.ts'
import { storageError } from '../../errors.ts'
import type { ByteStream, Timers } from '../byte-stream.ts'

/** One direction of a connection in memory: a queue of pieces, of which only so many bytes are taken in ahead of the reader. */
class Pipe {
  private readonly pieces: Uint8Array[] = []
  private held = 0
  private isEnded = false
  private wake: () => void = () => {}

  async read(): Promise<Uint8Array> {
    while (this.pieces.length === 0 && !this.isEnded) await this.change()
    const piece = this.pieces.shift() ?? new Uint8Array(0)
    this.held -= piece.length
    this.notify()
    return piece
  }

  async write(bytes: Uint8Array, split: (bytes: Uint8Array) => Uint8Array[]): Promise<void> {
    for (const piece of split(bytes)) {
      while (this.held > 65536 && !this.isEnded) await this.change()
      if (this.isEnded) throw storageError('DISK_PEER_FAILED', 'the connection was closed')
      this.pieces.push(piece)
      this.held += piece.length
      this.notify()
    }
  }

  end(): void {
    this.isEnded = true
    this.notify()
  }

  private waiting: Promise<void> | null = null

  private change(): Promise<void> {
    this.waiting ??= new Promise((resolve) => { this.wake = resolve })
    return this.waiting
  }

  private notify(): void {
    this.waiting = null
    this.wake()
  }
}

/** A connection in memory. Pieces come cut at random places, if there is a `random`. */
export function streamPair(random: Random | null = null): [ByteStream, ByteStream] {
  const [there, back] = [new Pipe(), new Pipe()]
  return [endOf('the server', back, there, random), endOf('the client', there, back, random)]
}

function endOf(peer: string, input: Pipe, output: Pipe, random: Random | null): ByteStream {
  return {
    peer,
    read: () => input.read(),
    write: pieces => output.write(gather(pieces).slice(), bytes => cut(bytes, random)),
    close() {
      input.end()
      output.end()
    },
  }
}

function cut(bytes: Uint8Array, random: Random | null): Uint8Array[] {
  if (bytes.length === 0) return []
  if (random === null || random.below(3) > 0) return [bytes]
  const at = 1 + random.below(bytes.length)
  return [bytes.subarray(0, at), bytes.subarray(at)].filter(piece => piece.length > 0)
}

/** Time that passes when a test says so. */
export class TestTimers implements Timers {
  private now = 0
  private readonly pending = new Set<{ readonly at: number, readonly action: () => void }>()

  after(milliseconds: number, action: () => void): () => void {
    const timer = { at: this.now + milliseconds, action }
    this.pending.add(timer)
    return () => { this.pending.delete(timer) }
  }

  get count(): number { return this.pending.size }

  advance(milliseconds: number): void {
    this.now += milliseconds
    for (const timer of [...this.pending].filter(each => each.at <= this.now)) {
      this.pending.delete(timer)
      timer.action()
    }
  }

  /** Lets time pass in steps until `done` has settled. */
  async until<Result>(done: Promise<Result>, step = 1000): Promise<Result> {
    const state = { isSettled: false }
    const settled = () => { state.isSettled = true }
    done.then(settled, settled)
    for (let round = 0; round < 10_000 && !state.isSettled; round++) {
      await new Promise((resolve) => { setImmediate(resolve) })
      if (!state.isSettled && round % 20 === 19) this.advance(step)
    }
    return done
  }
}

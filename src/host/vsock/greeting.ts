/**
 * What a program of the host says first: `CONNECT PORT\n`, the guest's port in decimal. Bytes behind it are for the guest already.
 */
import type { Socket } from 'node:net'

const LONGEST = 32
const LINE_FEED = 0x0a
const LARGEST_PORT = 2 ** 32 - 1

/** The port of a first line, without its end; undefined if it is none. */
export function parseGreeting(line: string): number | undefined {
  const [, digits] = /^CONNECT +(\d{1,10}) *\r?$/i.exec(line) ?? []
  return digits !== undefined && Number(digits) <= LARGEST_PORT ? Number(digits) : undefined
}

/**
 * Reads it; the socket stands still then, with what came behind it. Undefined if something else came, or the socket ended. Never rejects.
 */
export function readGreeting(socket: Socket): Promise<number | undefined> {
  let line: Buffer = Buffer.alloc(0)
  return new Promise(resolve => {
    const done = (port?: number): void => {
      socket.off('readable', read).off('end', done).off('close', done)
      resolve(port)
    }
    const read = (): void => {
      const bytes = socket.read() as Buffer | null
      if (bytes === null) return
      line = Buffer.concat([line, bytes])
      const end = line.subarray(0, LONGEST).indexOf(LINE_FEED)
      if (end < 0 && line.length < LONGEST) return
      const port = end < 0 ? undefined : parseGreeting(line.toString('latin1', 0, end))
      done(port)
      if (port !== undefined && end + 1 < line.length) socket.unshift(line.subarray(end + 1))
    }
    socket.on('readable', read).on('end', () => done()).on('close', () => done())
  })
}

/**
 * Gives a range of a file back to the host. Node has no call for it, but Linux systems have a program (`fallocate` of util-linux), which
 * gets the open file, so that nobody depends on its name. A process costs some milliseconds, so small ranges are left alone.
 */
import { spawn } from 'node:child_process'

/** Below this, writing zeros is quicker. */
export const PUNCH_BYTES = 1 << 20

let isMissing = process.platform !== 'linux'
/** One at a time: a guest that trims its disk asks for many. */
let last: Promise<boolean> = Promise.resolve(false)

/** False if the host cannot do it, or it does not pay; then nothing has changed. */
export function punchHole(descriptor: number, offset: number, length: number): Promise<boolean> {
  if (isMissing || length < PUNCH_BYTES) return Promise.resolve(false)
  last = last.then(() => run(descriptor, offset, length))
  return last
}

function run(descriptor: number, offset: number, length: number): Promise<boolean> {
  return new Promise((resolve) => {
    const program = spawn('fallocate', ['--punch-hole', '--offset', `${offset}`, '--length', `${length}`, '/dev/fd/3'], {
      stdio: ['ignore', 'ignore', 'ignore', descriptor],
    })
    program.once('error', () => {
      isMissing = true
      resolve(false)
    })
    program.once('exit', code => resolve(code === 0))
  })
}

/**
 * Debian's kernel on machines as `tenon` runs them, suspended to a file and resumed while it reads and writes its disk, with
 * either engine. Nothing may be lost, and nothing done twice in a way that is seen. The build must be up to date. The image is that of the
 * user's cache, fetched if it is not there.
 */
import { createHash, randomFillSync } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { EngineName } from '../../src/host/machine/engines.ts'
import type { MachineSession, ResumeMachine, StartMachine } from '../../src/host/machine/session.ts'
import { openImage } from '../../src/host/images/open-image.ts'
import { imageUnavailable } from '../images.ts'

const compiled = new URL('../../dist/host/machine/start.js', import.meta.url)
const unavailable = await imageUnavailable()

const MEMORY = 160 * 1024 ** 2
const DISK = 6 << 20
const PART = 2 << 20
const SUSPENSIONS = 2
/**
 * Three at once: a sum over the first part, read again and again without the cache; the second part copied over the third, 16 KiB at a time; a
 * count that must not miss a number.
 */
const WORK = [
  'for n in 1 2 3; do dd if=/dev/nvme0n1 bs=64k count=32 iflag=direct 2>/dev/null | sha256sum; done > /sums &',
  'dd if=/dev/nvme0n1 of=/dev/nvme0n1 bs=16k skip=128 seek=256 count=128 iflag=direct oflag=direct 2>/dev/null &',
  'for n in $(seq 1 90); do echo number-$n; usleep 5000; done; wait; sync; echo SUMS $(sort -u < /sums) END""OF',
].join(' ')
const DONE = /SUMS ([^]*?) ENDOF/

let startMachine: StartMachine
let resumeMachine: ResumeMachine
let folder: string
beforeAll(async () => {
  if (!existsSync(compiled)) throw new Error('there is no build in dist/: npm run build')
  const start = await import(compiled.href) as { startMachine: StartMachine, resumeMachine: ResumeMachine }
  startMachine = start.startMachine
  resumeMachine = start.resumeMachine
  folder = mkdtempSync(join(tmpdir(), 'tenon-suspended-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

class Console {
  text = ''
  private wake = (): void => undefined

  receive(bytes: Uint8Array): boolean {
    this.text += Buffer.from(bytes).toString('latin1')
    this.wake()
    return true
  }

  async until(enough: (text: string) => boolean): Promise<void> {
    while (!enough(this.text)) await new Promise<void>(resolve => { this.wake = resolve })
  }
}

async function booted(options: { readonly serial: readonly Console[], readonly disks: readonly { readonly graph: string }[] }): Promise<MachineSession> {
  const image = await openImage('busybox')
  const commandLine = 'console=ttyS0 quiet panic=-1 rdinit=/bin/busybox -- sh'
  const session = await startMachine({ ...options, memoryBytes: MEMORY, commandLine, kernel: image.kernel, initrd: image.initrd, engine: 'translate' })
  const screen = options.serial[0]
  await screen.until(text => text.includes('/ # '))
  await session.serial[0].write(Buffer.from('/bin/busybox --install -s /bin; mount -t devtmpfs dev /dev; '
    + 'while ! [ -e /dev/nvme0n1 ]; do sleep 0.1; done; stty -echo; echo READY""NOW\n'))
  await screen.until(text => text.includes('READYNOW'))
  return session
}

async function suspend(session: MachineSession, path: string): Promise<void> {
  await session.snapshots!.pause()
  await session.snapshots!.save(path)
  session.kill()
  expect(await session.exited).toEqual({ reason: 'killed', detail: '' })
}

const sumOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

describe.skipIf(unavailable)('a guest that is suspended', () => {
  test('reads and writes its disk as if nothing had happened', async () => {
    const [disk, snapshot] = [join(folder, 'disk.raw'), join(folder, 'guest.snapshot')]
    const content = randomFillSync(new Uint8Array(DISK))
    writeFileSync(disk, content)
    const screen = new Console()
    const options = { serial: [screen], disks: [{ graph: disk }], memoryBytes: MEMORY }
    let session = await booted(options)
    await session.serial[0].write(Buffer.from(`${WORK}\n`))
    for (let suspended = 1; suspended <= SUSPENSIONS; suspended++) {
      await screen.until(text => text.includes(`number-${suspended * 30}\r`))
      await suspend(session, snapshot)
      const engine: EngineName = suspended % 2 === 1 ? 'interpret' : 'translate'
      session = await resumeMachine({ ...options, snapshot, engine })
    }
    await screen.until(text => DONE.test(text))
    session.kill()
    await session.exited
    const numbers = Array.from(screen.text.matchAll(/number-(\d+)\r/g), ([, number]) => Number(number))
    expect(numbers).toEqual(Array.from({ length: 90 }, (_, index) => index + 1))
    expect(DONE.exec(screen.text)![1].split(' ')[0]).toBe(sumOf(content.subarray(0, PART)))
    expect(DONE.exec(screen.text)![1].match(/[0-9a-f]{64}/g)!.length).toBe(1)
    content.copyWithin(2 * PART, PART, 2 * PART)
    expect(sumOf(readFileSync(disk))).toBe(sumOf(content))
    expect(statSync(snapshot).size).toBeLessThan(MEMORY)
  }, 300_000)
})

/**
 * Debian's kernel, saved in the middle of its boot: what another machine makes of the snapshot is, to the bit, what the machine
 * that was saved makes of it. The image is that of the user's cache, fetched if it is not there.
 */
import { beforeAll, expect, test } from 'vitest'
import { buildPartialEngine } from '../../src/cpu/interpreter/build-engine.ts'
import { PROFILE } from '../../src/cpu/interpreter/profile-data.ts'
import { KERNEL_DECOMPRESSORS } from '../../src/host/images/decompress.ts'
import { openImage } from '../../src/host/images/open-image.ts'
import type { BootConfig } from '../../src/vmm/machine.ts'
import { openKernel } from '../../src/vmm/boot/kernel-image.ts'
import { DeterministicMachine } from '../../src/vmm/testing/deterministic-machine.ts'
import { expectSame, throughFile } from '../../src/vmm/testing/snapshots.ts'

const MEMORY = 256 << 20
/** Instructions between two looks at the clock: a virtual millisecond. */
const SLICE = 1_000_000
const MAXIMUM = 3_000_000_000
const PROMPT = '/ # '
/** The time, random numbers, memory, and what the kernel counted. */
const COMMANDS = 'b=/bin/busybox; $b mount -t proc proc /proc; $b mount -t devtmpfs dev /dev; echo $((6 * 7)) $RANDOM; '
  + '$b cat /proc/uptime /proc/meminfo /proc/interrupts; $b head -c 16 /dev/urandom | $b hexdump -C; $b sha256sum $b; '
  + 'echo all-""done\n'

let engine: WebAssembly.Module
let boot: BootConfig
beforeAll(async () => {
  engine = new WebAssembly.Module(buildPartialEngine(PROFILE).bytes as Uint8Array<ArrayBuffer>)
  const image = await openImage('busybox')
  const kernel = await openKernel(image.kernel, KERNEL_DECOMPRESSORS)
  boot = { kernel, initrd: image.initrd, commandLine: 'console=ttyS0 panic=-1 rdinit=/bin/busybox -- sh' }
}, 300_000)

/** The test's worker must come to speak with Vitest. */
async function breathe(end: number): Promise<void> {
  if (end % (100 * SLICE) < SLICE) await new Promise((resolve) => { setImmediate(resolve) })
}

/** Runs whole slices until the console satisfies `enough`. Returns where it stopped. */
async function runUntil(guest: DeterministicMachine, enough: (console: string) => boolean): Promise<number> {
  let end = guest.machine.retired
  while (!enough(guest.console)) {
    await breathe(end)
    end += SLICE
    if (!guest.runTo(end) || end > MAXIMUM) throw new Error(`the guest stopped:\n${guest.console.slice(-1000)}`)
  }
  return end
}

async function runSlices(guest: DeterministicMachine, to: number): Promise<void> {
  for (; guest.machine.retired < to; guest.runTo(guest.machine.retired + SLICE)) await breathe(guest.machine.retired)
}

test('Debian goes on in another machine as if nothing had happened', async () => {
  const original = new DeterministicMachine(MEMORY, engine)
  original.machine.boot(boot)
  await runUntil(original, (console) => console.length > 8000)
  const saved = original.save()
  const consoleBefore = original.console
  const atPrompt = await runUntil(original, (console) => console.includes(PROMPT))

  const copy = original.successor({ ...saved, snapshot: throughFile(saved.snapshot) })
  await runSlices(copy, atPrompt)
  expect(consoleBefore + copy.console).toBe(original.console)
  expectSame(copy.machine.save(), original.machine.save())

  for (const guest of [original, copy]) {
    guest.type(COMMANDS)
    await runUntil(guest, (console) => console.includes('all-done\r\n'))
  }
  expect(copy.console).toMatch(/42 \d+\r\n[^]*MemFree[^]*timer/)
  expect(consoleBefore + copy.console).toBe(original.console)
}, 900_000)

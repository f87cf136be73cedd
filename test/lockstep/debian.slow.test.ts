/**
 * Debian's kernel and a shell, interpreted and translated in lockstep: the same to the bit after each step, all of RAM now and then. The
 * image is that of the user's cache, fetched if it is not there.
 */
import { describe, expect, it } from 'vitest'
import { buildPartialEngine } from '../../src/cpu/interpreter/build-engine.ts'
import { PROFILE } from '../../src/cpu/interpreter/profile-data.ts'
import { FEATURE_NAMES } from '../../src/cpu/system/cpuid.ts'
import { ImmediateCompiler } from '../../src/cpu/translator/compiler.ts'
import { KERNEL_DECOMPRESSORS } from '../../src/host/images/decompress.ts'
import { openImage } from '../../src/host/images/open-image.ts'
import { openKernel } from '../../src/vmm/boot/kernel-image.ts'
import { Lockstep } from '../../src/vmm/lockstep/lockstep.ts'
import { imageUnavailable } from '../images.ts'

const MEMORY = 256 << 20
/** The end of a step is single-stepped, so that steps should be long. */
const STEP = 2_000_000
const MAXIMUM_STEPS = 1500
const PROMPT = '/ # '
const COMMANDS = 'b=/bin/busybox; $b sha256sum $b; $b awk "BEGIN { for (i = 0; i < 20000; i++) x = x * 0.5 + i / 3; print x }"; '
  + '$b seq 20000 | $b gzip | $b gunzip | $b tail -n 1; echo all-""done\n'

describe.skipIf(await imageUnavailable() !== undefined)('Debian in lockstep', () => {
  it('is the same, interpreted and translated, up to its shell and in it', async () => {
    let console = ''
    const typed: number[] = []
    const lockstep = new Lockstep({
      memory: MEMORY, engine: new WebAssembly.Module(buildPartialEngine(PROFILE).bytes as Uint8Array<ArrayBuffer>),
      compiler: () => new ImmediateCompiler(FEATURE_NAMES), translationThreshold: 2000, startTime: 1_700_000_000_000, step: STEP,
      serial: [{ transmit: (byte) => { console += String.fromCharCode(byte); return true }, receive: () => typed.shift() ?? -1 }],
    })
    const image = await openImage('busybox')
    const kernel = await openKernel(image.kernel, KERNEL_DECOMPRESSORS)
    lockstep.boot({ kernel, initrd: image.initrd, commandLine: 'console=ttyS0 panic=-1 rdinit=/bin/busybox -- sh' })
    const runTo = async (text: string): Promise<void> => {
      for (let steps = 0; !console.includes(text); steps++) {
        expect(lockstep.run().state !== 'ended' && steps < MAXIMUM_STEPS, console.slice(-1000)).toBe(true)
        // The test's worker must come to speak with Vitest.
        if (steps % 50 === 0) await new Promise((resolve) => { setImmediate(resolve) })
      }
    }
    await runTo(PROMPT)
    typed.push(...[...COMMANDS].map((character) => character.charCodeAt(0)))
    lockstep.serial[0].receiveReady()
    await runTo('all-done\r\n')
    expect(console).toMatch(/\b20000\r\nall-done/)
    const { instructions } = lockstep.translated.vcpu.engine.translator?.counters() ?? { instructions: 0 }
    expect(instructions).toBeGreaterThan(lockstep.translated.retired / 4)
  }, 900_000)
})

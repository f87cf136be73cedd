import { describe, expect, it } from 'vitest'
import { gpa } from '../../base/addresses.ts'
import { TenonError } from '../../base/errors.ts'
import { Random } from '../../base/testing/random.ts'
import { openKernel } from './kernel-image.ts'
import { loadKernel } from './load.ts'
import { emptyMachine, MIB } from './testing/machine.ts'
import { pvhNote, storedLz4Payload, syntheticBzImage, syntheticElf } from './testing/synthetic-kernels.ts'

const ROUNDS = 1500
const { layout, memory } = emptyMachine(32 * MIB)
const originals = {
  'ELF64 kernels': syntheticElf({ notes: pvhNote(0x1000000) }),
  'ELF32 kernels': syntheticElf({ class: 32, notes: pvhNote(0x1000000) }),
  'bzImages': syntheticBzImage({ payload: storedLz4Payload(syntheticElf({ notes: pvhNote(0x1000000) })) }),
}

/** Some bytes, words or the length of the file become something else, mostly in its headers. */
function damage(original: Uint8Array, random: Random): Uint8Array {
  const file = original.slice()
  const view = new DataView(file.buffer)
  for (let count = 1 + random.below(6); count > 0; count--) {
    const at = random.below(random.below(3) === 0 ? file.length - 4 : Math.min(file.length - 4, 0x280))
    if (random.below(2) === 0) view.setUint8(at, random.value())
    else view.setUint32(at, random.value(), true)
  }
  return random.below(4) === 0 ? file.slice(0, random.below(file.length)) : file
}

async function tryToBoot(file: Uint8Array, random: Random): Promise<string> {
  try {
    const kernel = await openKernel(file)
    loadKernel(memory, layout, { kernel, commandLine: 'quiet', initrd: new Uint8Array(random.below(9000)), rsdp: gpa(0xe0000),
      entry: random.pick(['auto', 'linux64', 'pvh'] as const) })
    return 'loaded'
  } catch (error) {
    if (error instanceof TenonError) return error.code
    throw error
  }
}

describe.each(Object.entries(originals))('damaged %s', (_, original) => {
  it(`load or fail with a TenonError, ${ROUNDS} times`, async () => {
    const random = new Random(original.length)
    const outcomes = new Set<string>()
    for (let round = 0; round < ROUNDS; round++) outcomes.add(await tryToBoot(damage(original, random), random))
    expect(outcomes).toContain('loaded')
    expect(outcomes).toContain('KERNEL_TRUNCATED')
    expect(outcomes).toContain('KERNEL_CORRUPT')
  })
})

describe('random bytes', () => {
  it('are no kernel', async () => {
    const random = new Random(1)
    for (let round = 0; round < 200; round++) {
      const file = Uint8Array.from({ length: random.below(2000) }, () => random.u32())
      expect(await tryToBoot(file, random)).toBe('KERNEL_NOT_RECOGNISED')
    }
  })
})

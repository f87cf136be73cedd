/** What a process writes until it is killed: steps that follow from a seed, so that the one who looks afterwards knows them too. */
import { Random } from '../../../base/testing/random.ts'
import { FORMATS } from '../../../storage/formats.ts'
import { QCOW2 } from '../../../storage/qcow2/format.ts'

/** With qcow2, whether or not it is among them. */
export const formats = [...FORMATS.filter(format => format.name !== QCOW2.name), QCOW2]

export interface Write {
  readonly offset: number
  readonly bytes: Uint8Array
}

/** Writes that are made at once, and then a flush. */
export type Round = readonly Write[]

/** Endless. The writes of a round do not overlap. */
export function* rounds(seed: number, size: number): Generator<Round> {
  const random = new Random(seed)
  for (;;) {
    const round: Write[] = []
    const part = Math.floor(size / 6)
    for (let at = 0; at < 6; at++) {
      const length = 1 + random.below(random.pick([512, 5000, 70_000]))
      const start = random.below(part - length)
      const offset = at * part + (random.below(2) === 0 ? start : start - start % 512)
      round.push({ offset, bytes: random.bytes(length) })
    }
    yield round
  }
}

import { describe, expect, it } from 'vitest'
import { TenonError } from '../../base/errors.ts'
import type { PlainData } from '../../machine/lifecycle.ts'
import { TestRandom } from '../../cpu/testing/rig.ts'
import { crc32 } from '../../base/crc32.ts'
import { SnapshotReader, encodeSnapshot } from './file.ts'
import { decodePlain, encodePlain } from './plain-json.ts'
import type { MachineSnapshot } from './snapshot.ts'

const ascii = (text: string): Uint8Array => Uint8Array.from(text, (character) => character.charCodeAt(0))
const withCode = (code: string): Error => expect.objectContaining({ name: 'TenonError', code }) as Error

const SNAPSHOT: MachineSnapshot = {
  format: 'tenon-machine', version: 3,
  config: { memory: 1 << 20, vcpus: 1, cpu: 'max', features: [], layout: { pic: 32 }, disks: [] },
  parts: [
    { name: 'clock', schema: 'virtual-clock', version: 1, state: { now: 123456.5 } },
    { name: 'vcpu0', schema: 'x86-processor', version: 3, state: { RIP: 2n ** 64n - 1n, YMM: Uint8Array.of(0, 255), none: null } },
  ],
  memory: [{ page: 3, bytes: new Uint8Array(4096).fill(7) }, { page: 0x100000, bytes: new Uint8Array(8192).fill(9) }],
}

function fileOf(snapshot: MachineSnapshot): Uint8Array {
  return Uint8Array.from([...encodeSnapshot(snapshot)].flatMap((piece) => [...piece]))
}

function read(...pieces: readonly Uint8Array[]): MachineSnapshot {
  const reader = new SnapshotReader()
  for (const piece of pieces) reader.push(piece)
  return reader.finish()
}

describe('a snapshot file', () => {
  const file = fileOf(SNAPSHOT)

  it('holds the snapshot, however it is cut into pieces', () => {
    expect(read(file)).toEqual(SNAPSHOT)
    const random = new TestRandom(4)
    for (const largest of [1, 5, 100, 6000]) {
      const pieces: Uint8Array[] = []
      for (let at = 0; at < file.length;) {
        const next = at + random.below(largest + 1)
        pieces.push(file.subarray(at, next))
        at = next
      }
      expect(read(...pieces)).toEqual(SNAPSHOT)
    }
  })

  it('begins with its name and version', () => {
    expect(file.subarray(0, 12)).toEqual(Uint8Array.of(...ascii('TENONVM\n'), 1, 0, 0, 0))
    expect(() => read(ascii('this is a text file'))).toThrow(withCode('SNAPSHOT_INVALID'))
    expect(() => read(file.with(8, 2))).toThrow(withCode('SNAPSHOT_VERSION'))
  })

  it('is refused where it is cut off, or goes on', () => {
    for (let length = 0; length < file.length; length += length < 1000 ? 1 : 97) {
      expect(() => read(file.subarray(0, length)), `${length} bytes`).toThrow(withCode('SNAPSHOT_INVALID'))
    }
    expect(() => read(file, Uint8Array.of(0))).toThrow(withCode('SNAPSHOT_INVALID'))
  })

  it('is refused with any bit wrong', () => {
    for (let at = 12; at < file.length; at += at < 1000 ? 1 : 97) {
      expect(() => read(file.with(at, file[at] ^ 1 << at % 8)), `byte ${at}`).toThrow(withCode('SNAPSHOT_INVALID'))
    }
  })

  it('is refused with a section moved or left out', () => {
    const header = file.subarray(0, 12)
    const sections = cutSections(file)
    const without = sections.filter((_, index) => index !== 2)
    const moved = [sections[0], sections[2], sections[1], ...sections.slice(3)]
    for (const wrong of [without, moved]) expect(() => read(header, ...wrong)).toThrow(withCode('SNAPSHOT_INVALID'))
    expect(read(header, ...sections)).toEqual(SNAPSHOT)
  })

  it('with right checksums and anything else in it gives a snapshot or a TenonError', () => {
    const random = new TestRandom(8)
    for (let round = 0; round < 300; round++) {
      const bytes = resealed(file, random)
      try {
        read(bytes)
      } catch (error) {
        expect(error).toBeInstanceOf(TenonError)
      }
    }
  })
})

/** The sections with their checksums. */
function cutSections(file: Uint8Array): Uint8Array[] {
  const view = new DataView(file.buffer)
  const sections: Uint8Array[] = []
  for (let at = 12; at < file.length; at += sections[sections.length - 1].length) {
    sections.push(file.subarray(at, at + 12 + view.getUint32(at + 4, true)))
  }
  return sections
}

/** The file with some bytes changed that are not lengths, and its checksums made right again. */
function resealed(file: Uint8Array, random: TestRandom): Uint8Array {
  const bytes = file.slice()
  let checksum = crc32(bytes.subarray(0, 12))
  let at = 12
  for (const { length } of cutSections(file)) {
    if (random.chance(3)) bytes[at] ^= random.below(4)
    const changes = length > 12 ? random.below(3) : 0
    for (let n = 0; n < changes; n++) bytes[at + 8 + random.below(length - 12)] = random.below(128)
    checksum = crc32(bytes.subarray(at, at + length - 4), checksum)
    new DataView(bytes.buffer).setUint32(at + length - 4, checksum, true)
    at += length
  }
  return bytes
}

describe('plain data as JSON', () => {
  const cases: readonly [PlainData, string][] = [
    [5, '5'], [0.1, '0.1'], ['a"\u00e9\n', '"a\\"\\u00e9\\n"'], [null, 'null'], [true, 'true'],
    [-5n, '{"$bigint":"-5"}'], [Uint8Array.of(0, 171), '{"$bytes":"00ab"}'],
    [[1, { a: [2n] }], '[1,{"a":[{"$bigint":"2"}]}]'], [{}, '{}'],
  ]

  it('is ASCII, and comes back', () => {
    for (const [value, text] of cases) {
      expect(encodePlain(value)).toEqual(ascii(text))
      expect(decodePlain(ascii(text), 'it')).toEqual(value)
    }
  })

  it('that is not in order is refused', () => {
    for (const text of [
      '', '{', '{"$bytes":"0"}', '{"$bytes":"0g"}', '{"$bytes":5}', '{"$bigint":"x"}', '{"$bigint":"1","b":2}', '{"$other":"1"}',
      `{"$bigint":"${'1'.repeat(100)}"}`, '['.repeat(100000) + ']'.repeat(100000), `${'['.repeat(40)}${']'.repeat(40)}`, '"\u00e9',
    ]) expect(() => decodePlain(ascii(text), 'it'), text.slice(0, 40)).toThrow(withCode('SNAPSHOT_INVALID'))
  })
})

it('the checksum is that of ITU-T V.42', () => {
  expect(crc32(ascii('123456789'))).toBe(0xcbf43926)
  expect(crc32(ascii('6789'), crc32(ascii('12345')))).toBe(0xcbf43926)
})

import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { complement, sumBytes } from '../../base/internet-checksum.ts'
import { ipv4, makeFrame, tcp } from '../testing/frames.ts'
import { PcapWriter } from './pcap.ts'

const hasReader = spawnSync('tcpdump', ['--version']).status === 0
if (!hasReader) process.stderr.write('skipped: captures are not read by tcpdump, which is not installed\n')

function capture(): Buffer {
  const pieces: Uint8Array[] = []
  const writer = new PcapWriter((bytes) => pieces.push(bytes.slice()), () => 1_700_000_000_123.5)
  const [source, destination] = [[10, 0, 0, 1], [10, 0, 0, 2]]
  const packet = ipv4({ source, destination, protocol: 6, payload: [...tcp(1000, 80, 0x18), 104, 105] })
  const header = complement(sumBytes(Uint8Array.from(packet), 0, 20))
  packet.splice(10, 2, header >> 8, header & 0xff)
  const pseudo = sumBytes(Uint8Array.from([...source, ...destination]), 0, 8, 6 + 22)
  packet.splice(36, 2, pseudo >> 8, pseudo & 0xff)
  const frame = makeFrame({ type: 0x800, payload: packet })
  writer.add({ ...frame, length: 14 + packet.length, checksumStart: 34, checksumOffset: 16 })
  const question = [0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2]
  writer.add(makeFrame({ vlan: 5, type: 0x806, payload: question }))
  return Buffer.concat(pieces)
}

describe('captures', () => {
  test('have their headers and times', () => {
    const file = capture()
    expect([file.readUInt32LE(0), file.readUInt16LE(4), file.readUInt32LE(20)]).toEqual([0xa1b23c4d, 2, 1])
    expect([file.readUInt32LE(24), file.readUInt32LE(28), file.readUInt32LE(32), file.readUInt32LE(36)])
      .toEqual([1_700_000_000, 123_500_000, 56, 56])
    expect(file.length).toBe(24 + 16 + 56 + 16 + 64)
  })

  test.skipIf(!hasReader)('are read by tcpdump, which finds every checksum right', () => {
    const folder = mkdtempSync(join(tmpdir(), 'tenon-pcap-'))
    try {
      writeFileSync(join(folder, 'a.pcap'), capture())
      const { stdout } = spawnSync('tcpdump', ['-r', join(folder, 'a.pcap'), '-n', '-e', '-vv'], { encoding: 'utf8' })
      expect(stdout).toMatch(/10\.0\.0\.1\.1000 > 10\.0\.0\.2\.80: Flags \[P\.\], cksum 0x[0-9a-f]+ \(correct\)/)
      expect(stdout).toMatch(/vlan 5.*who-has 10\.0\.0\.2 tell 10\.0\.0\.1/)
      expect(stdout).not.toMatch(/bad cksum|incorrect/)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})

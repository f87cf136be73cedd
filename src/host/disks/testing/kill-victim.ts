/** The program that is killed: opens a disk, and writes, flushes and says so, until it is no more. */
import { writeSync } from 'node:fs'
import { openDisk } from '../../../storage/open.ts'
import { hostEnvironment } from '../environment.ts'
import { formats, rounds } from './kill-workload.ts'

const { description, seed } = JSON.parse(process.argv[2]) as { description: unknown, seed: number }
const node = await openDisk(description, hostEnvironment(), { formats })
let flushed = 0
for (const round of rounds(seed, node.size)) {
  await Promise.all(round.map(({ offset, bytes }) => node.write(offset, [bytes])))
  await node.flush()
  writeSync(1, `${++flushed}\n`)
}

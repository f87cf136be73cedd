import type { Workload } from '../workloads.ts'

/** A loop's work: how often, and the checksum that comes of it. */
interface Work {
  readonly turns: number
  readonly checksum: string
}

interface Loop {
  readonly name: string
  readonly title: string
  /** 0.3 to 0.7 seconds of a processor of 2020: an interpreter takes thirty times as long. */
  readonly full: Work
  /** About a tenth. */
  readonly quick: Work
}

const LOOPS: readonly Loop[] = [
  { name: 'sieve', title: 'sieve of Eratosthenes', full: work(150, '58fe55811d9c29d7'), quick: work(15, 'cfe9b242bc92f368') },
  { name: 'copy', title: 'copy, byte by byte', full: work(6000, 'cceca12296dc8bfd'), quick: work(600, 'fd898d775176bc33') },
  { name: 'hash32', title: 'hash of 32 bits', full: work(8000, '0000000045bd16ec'), quick: work(800, '000000009d31e3da') },
  { name: 'hash64', title: 'hash of 64 bits', full: work(100_000, 'd27fbc2294dbcb24'), quick: work(10_000, 'c3d4cd6a2fa3158e') },
  { name: 'chase', title: 'pointers through 16 MiB', full: work(3000, 'ae573939ec3d31e0'), quick: work(300, 'fc9f3f705c427e90') },
  { name: 'sha2', title: 'SHA-256', full: work(600, 'ebfe5183c5ae21cb'), quick: work(60, '9af8275830f1496e') },
  { name: 'fibonacci', title: 'Fibonacci, recursive', full: work(40, '0000000006197ecb'), quick: work(35, '00000000008cccc9') },
  { name: 'sort', title: 'quicksort', full: work(60, 'db3e449c52a757c7'), quick: work(6, '688257682f8c29c9') },
  { name: 'matrix', title: 'matrix product in doubles', full: work(120, 'b53bd5ddbb70ed24'), quick: work(12, '09bd5ba994f2e348') },
  { name: 'switch', title: 'interpreter with a switch', full: work(12_000_000, '519a53534ce31761'), quick: work(1_200_000, '1d9318df5b1d14e7') },
  { name: 'big-code', title: 'jumps over 4 MiB of code', full: work(4000, '60a0bced338e955e'), quick: work(400, '0d7c2c3f498fbd55') },
]

function work(turns: number, checksum: string): Work {
  return { turns, checksum }
}

/** The loops of the program that `compileLoops` makes, as workloads. */
export function loopWorkloads(isQuick: boolean): Workload[] {
  return LOOPS.map(({ name, title, full, quick }): Workload => {
    const { turns, checksum } = isQuick ? quick : full
    return { name, title, suite: 'loops', script: `loops ${name} ${turns}`, answer: checksum, timesItself: true }
  })
}

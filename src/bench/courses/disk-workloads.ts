import type { Workload } from '../workloads.ts'

const MEBIBYTE = 1024 ** 2
/** The part of the disk that is read and written; the first workload fills it. */
const AREA_MEBIBYTES = 256

interface Pattern {
  readonly name: 'write' | 'read' | 'randread' | 'randwrite'
  readonly title: string
  readonly blockBytes: number
  /** By the number of requests under way. */
  readonly mebibytes: Readonly<Record<1 | 32, number>>
}

const PATTERNS: readonly Pattern[] = [
  { name: 'write', title: '1 MiB written in order', blockBytes: MEBIBYTE, mebibytes: { 1: 1024, 32: 1024 } },
  { name: 'read', title: '1 MiB read in order', blockBytes: MEBIBYTE, mebibytes: { 1: 2048, 32: 2048 } },
  { name: 'randread', title: '4 KiB read at random', blockBytes: 4096, mebibytes: { 1: 48, 32: 96 } },
  { name: 'randwrite', title: '4 KiB written at random', blockBytes: 4096, mebibytes: { 1: 48, 32: 96 } },
]

/** What fio does to a disk, past the guest's cache; with 1 and 32 requests under way. `$DATA` is the disk. */
export function diskWorkloads(isQuick: boolean): Workload[] {
  return PATTERNS.flatMap(pattern => ([1, 32] as const).map(depth => workload(pattern, depth, isQuick)))
}

/** The same requests in every machine: `randrepeat`. Sequences begin anew at the end of the area. */
function workload({ name, title, blockBytes, mebibytes }: Pattern, depth: 1 | 32, isQuick: boolean): Workload {
  const amount = mebibytes[depth] / (isQuick ? 8 : 1)
  const job = [
    'fio --name=job --filename=$DATA --direct=1 --ioengine=libaio --thread --randrepeat=1 --norandommap --gtod_reduce=1',
    `--rw=${name} --bs=${blockBytes} --iodepth=${depth} --size=${AREA_MEBIBYTES}M --io_size=${amount}M --output-format=terse --terse-version=3`,
  ].join(' ')
  return {
    name: `${name}-${depth}`, title: `${title}, ${depth} at once`, suite: 'disk', timesItself: true,
    script: `chroot /tools ${job} | ${SUMMARY}`,
    answer: `0 ${amount * 1024}`,
    amount: blockBytes === MEBIBYTE ? { unit: 'bytes', count: amount * MEBIBYTE } : { unit: 'operations', count: amount * MEBIBYTE / blockBytes },
  }
}

/**
 * Of fio's terse output, version 3 (its manual, "Terse output"): error 5; KiB and milliseconds read 6 and 9, written 47 and 50. The time
 * goes where a workload's time goes, error and amount are the answer.
 */
const SUMMARY = `awk -F';' '/^3;/ { printf "%.3f\\n", ($9 + $50) / 1000 >"/dev/stderr"; print $5, $6 + $47 }'`

/**
 * Whether QEMU has a file open. QEMU locks bytes of its images (docs of its block layer, "Image locking"): byte 100 + p says that it
 * uses permission p, byte 200 + p that it does not share it; permission 1 is writing. Linux lists all locks in /proc/locks (proc(5)):
 *
 *     1: OFDLCK ADVISORY  READ -1 fe:00:2173981 201 201
 *
 * We can see these locks, but not take such: the other direction is not covered.
 */
import { readFileSync, type BigIntStats } from 'node:fs'
import { storageError } from '../../storage/errors.ts'

const WRITES = 101
const SHARES_NO_WRITES = 201

/** Throws DISK_IN_USE if QEMU writes the file, or, for `writing`, reads it and does not expect it to change. */
export function checkQemuLocks(path: string, stats: BigIntStats, writing: boolean, locks: string = readLocks()): void {
  const bytes = lockedBytes(locks, stats)
  const has = (byte: number): boolean => bytes.some(({ first, last }) => first <= byte && byte <= last)
  if (!has(WRITES) && !(writing && has(SHARES_NO_WRITES))) return
  throw storageError('DISK_IN_USE', `${path} is in use: a QEMU process has it open; stop it first`)
}

function readLocks(): string {
  try {
    return readFileSync('/proc/locks', 'latin1')
  } catch {
    return ''
  }
}

function lockedBytes(locks: string, { dev, ino }: BigIntStats): { first: number, last: number }[] {
  const found = []
  for (const line of locks.split('\n')) {
    const [, type, , , , place = '', first, last] = line.trim().split(/\s+/)
    const [major, minor, inode] = place.split(':')
    if (type !== 'OFDLCK' || inode !== `${ino}` || deviceOf(dev) !== `${parseInt(major, 16)}:${parseInt(minor, 16)}`) continue
    found.push({ first: Number(first), last: last === 'EOF' ? Infinity : Number(last) })
  }
  return found
}

/** Linux's encoding of a device number in struct stat (makedev(3)). */
function deviceOf(device: bigint): string {
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn)
  const minor = (device & 0xffn) | ((device >> 12n) & ~0xffn)
  return `${major}:${minor}`
}

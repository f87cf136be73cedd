import type { Seed } from '../../storage/iso9660/seed.ts'
import type { DiskOrder } from '../disks/disk-order.ts'

const SERIAL = 'tenon-seed'

/** A seed as the last of a guest's disks. `time` in seconds since 1970. */
export function seedDisk(seed: Seed, time: number): DiskOrder { return { graph: { kind: 'seed', ...seed, time }, serial: SERIAL } }

import { NvmeDriver } from './driver.ts'
import type { DriverQueue } from './driver.ts'
import { FakeDisk } from './fake-disk.ts'

/** A running controller with one I/O queue, and its first disk. */
export function started(...disks: FakeDisk[]): { driver: NvmeDriver, queue: DriverQueue, disk: FakeDisk } {
  const all = disks.length > 0 ? disks : [new FakeDisk(1 << 20)]
  const driver = new NvmeDriver(all)
  return { driver, queue: driver.start(), disk: all[0] }
}

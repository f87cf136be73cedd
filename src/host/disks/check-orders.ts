/** What a machine's disks must be together, before any of them is opened. */
import { storageError } from '../../storage/errors.ts'
import { DISK_BUSES } from './disk-order.ts'
import type { DiskBus, DiskOrder } from './disk-order.ts'

/** How many disks a bus takes. A virtio disk is a PCI device, and there are so many of those. */
const ROOM: Readonly<Record<DiskBus, number>> = { nvme: 64, virtio: 16, scsi: 64 }

/** 1 to 20 printable ASCII characters. Without blanks: udev makes names of it. */
export function isDiskSerial(text: string): boolean { return /^[\x21-\x7e]{1,20}$/.test(text) }

export function serialOf({ serial }: DiskOrder, number: number): string { return serial ?? `tenon-disk-${number}` }

/** Whoever made the orders may not have checked them. @throws TenonError DISK_DESCRIPTION_INVALID, with the disk's number. */
export function checkDiskOrders(orders: readonly DiskOrder[]): void {
  orders.forEach(checkOrder)
  for (const bus of DISK_BUSES) checkRoom(bus, orders.filter(order => (order.bus ?? 'nvme') === bus).length)
  const serials = orders.map(serialOf)
  // A guest would take them for two ways to one disk.
  const second = serials.findIndex((serial, number) => serials.indexOf(serial) < number)
  if (second < 0) return
  const first = serials.indexOf(serials[second])
  throw invalid(`disk ${second} has the serial number ${serials[second]} of disk ${first}: choose another one`)
}

function checkOrder({ bus = 'nvme', serial, blockSize = 512 }: DiskOrder, number: number): void {
  if (!DISK_BUSES.includes(bus)) throw invalid(`disk ${number}: ${JSON.stringify(bus)} is no bus: there are ${DISK_BUSES.join(', ')}`)
  if (![512, 4096].includes(blockSize)) throw invalid(`disk ${number}: blocks have 512 or 4096 bytes, not ${JSON.stringify(blockSize)}`)
  if (serial === undefined || isDiskSerial(serial)) return
  throw invalid(`disk ${number}: ${JSON.stringify(serial)} is no serial number: 1 to 20 printable ASCII characters, without blanks`)
}

function checkRoom(bus: DiskBus, count: number): void {
  if (count > ROOM[bus]) throw invalid(`there are ${count} disks on the bus ${bus}, which takes ${ROOM[bus]} at most: put some on another`)
}

function invalid(what: string): Error { return storageError('DISK_DESCRIPTION_INVALID', what) }

import { expect, test } from 'vitest'
import { Random } from '../../base/testing/random.ts'
import { checkDiskOrders } from './check-orders.ts'
import { entryOf, inFolder, orderOf } from './disk-entry.ts'
import type { DiskOrder } from './disk-order.ts'
import { parseDiskText } from './disk-text.ts'

const wrong = expect.objectContaining({ name: 'TenonError', code: 'DISK_DESCRIPTION_INVALID' }) as Error
const FILE = { kind: 'file', path: 'a.img', readOnly: false }

test.each<[string, DiskOrder]>([
  ['a.img', { graph: FILE }],
  ['a,b.qcow2,readonly', { graph: { kind: 'file', path: 'a,b.qcow2', readOnly: true } }],
  ['nbd://host/x,bus=virtio', { graph: { kind: 'nbd', uri: 'nbd://host/x', readOnly: false }, bus: 'virtio' }],
  ['a.img,serial=logs-1,bus=scsi', { graph: FILE, bus: 'scsi', serial: 'logs-1' }],
  ['a.img,iops=500', { graph: { kind: 'throttle', requestsPerSecond: 500, node: FILE } }],
  ['a.img,bps=2m,group=slow,priority=300', { graph: { kind: 'throttle', bytesPerSecond: 2 * 1024 ** 2, group: 'slow', weight: 300, node: FILE } }],
])('%s', (text, order) => {
  expect(parseDiskText(text)).toEqual(order)
  checkDiskOrders([order])
})

test.each([
  ['', 'write FILE'],
  ['a.img,readonyl', '"readonyl" is no option: there are readonly, bus, serial, iops, bps, group, priority'],
  ['a.img,readonly=yes', '"readonly=yes" cannot be: write readonly, without a value'],
  ['a.img,bus=ide', '"bus=ide" cannot be: write bus= and one of nvme, virtio, scsi'],
  ['a.img,bus=virtio,bus=scsi', '"bus" is there twice'],
  ['a.img,bus', '"bus" cannot be'],
  ['a.img,serial=', '"serial=" cannot be'],
  ['a.img,serial=a b', '"serial=a b" cannot be'],
  ['a.img,serial=123456789012345678901', 'cannot be: write serial= and 1 to 20'],
  ['a.img,iops=0', '"iops=0" cannot be'],
  ['a.img,iops=5K', '"iops=5K" cannot be'],
  ['a.img,bps=9999999999999999', 'cannot be: write bps='],
  ['a.img,priority=5', '"priority" is among disks that share a limit'],
  ['a.img,group=g,priority=5', '"group" shares a limit, and there is none'],
  ['a.img,iops=5,group=', '"group=" cannot be'],
  ['a.img,iops=5,group=g,priority=10001', '"priority=10001" cannot be: write priority= and 1 to 10000'],
  ['a.img,constructor', '"constructor" is no option'],
])('%s is refused', (text, message) => {
  expect(() => parseDiskText(text)).toThrow(wrong)
  expect(() => parseDiskText(text)).toThrow(message)
})

test('any text is a disk or refused', () => {
  const random = new Random(5)
  const parts = ['a.img', ',', 'bus=', 'scsi', 'readonly', 'iops=', '7', 'group=', '=', '\n', 'serial=', 'nbd://x', 'priority=']
  for (let round = 0; round < 3000; round++) {
    const text = Array.from({ length: random.below(9) }, () => parts[random.below(parts.length)]).join('')
    try {
      checkDiskOrders([parseDiskText(text)])
    } catch (error) {
      expect(error, text).toEqual(wrong)
    }
  }
})

test('disks together: buses have room, and no two have one serial number', () => {
  const many = (count: number, order: Partial<DiskOrder>): DiskOrder[] => Array.from({ length: count }, () => ({ graph: 'x', ...order }))
  checkDiskOrders([...many(64, {}), ...many(16, { bus: 'virtio' }), ...many(64, { bus: 'scsi' })])
  expect(() => checkDiskOrders(many(17, { bus: 'virtio' }))).toThrow('there are 17 disks on the bus virtio, which takes 16 at most')
  expect(() => checkDiskOrders(many(2, { serial: 's' }))).toThrow('disk 1 has the serial number s of disk 0')
  expect(() => checkDiskOrders([{ graph: 'x', serial: 'tenon-disk-1' }, { graph: 'x' }])).toThrow('disk 1 has the serial number tenon-disk-1 of disk 0')
  for (const order of [{ bus: 'ide' }, { serial: 'é' }, { blockSize: 1024 }]) {
    expect(() => checkDiskOrders([{ graph: 'x' }, { graph: 'y', ...order } as DiskOrder])).toThrow(/^disk 1: /)
  }
})

test('an entry of a configuration is an order, and as short as it can be', () => {
  for (const entry of ['a', { kind: 'memory', size: 5 }, { graph: 'a', bus: 'scsi' } as const]) expect(entryOf(orderOf(entry))).toEqual(entry)
  expect(entryOf({ graph: 'a', serial: undefined })).toBe('a')
  expect(inFolder(parseDiskText('a.img,iops=5,bus=scsi'), '/x')).toEqual({
    graph: { kind: 'throttle', requestsPerSecond: 5, node: { kind: 'file', path: '/x/a.img', readOnly: false } }, bus: 'scsi',
  })
})

import { expect, it } from 'vitest'
import type { MmioDevice } from '../../machine/io.ts'
import { MmioBus } from './mmio-bus.ts'

function probe(tag = 0): MmioDevice & { writes: number[][] } {
  const writes: number[][] = []
  return {
    writes,
    readMmio: (offset, size) => tag << 24 | offset << 4 | size,
    writeMmio: (offset, size, value) => { writes.push([offset, size, value]) },
  }
}

it('splits wide and unaligned accesses, low half first', () => {
  const bus = new MmioBus()
  const device = probe()
  bus.attach(0xfec00000, 0x1000, device)
  bus.write64(0xfec00010, 0x1122334455667788n)
  bus.write(0xfec00021, 2, 0xaabb)
  expect(device.writes).toEqual([[0x10, 4, 0x55667788], [0x14, 4, 0x11223344], [0x21, 1, 0xbb], [0x22, 1, 0xaa]])
  expect(bus.read64(0xfec00000)).toBe(0x44_0000_0004n)
})

it('reads all ones where nothing is, at any address', () => {
  const bus = new MmioBus()
  expect([bus.read(0xd0000000, 1), bus.read(0xd0000001, 2), bus.read(2 ** 52 - 2, 4)]).toEqual([0xff, 0xffff, 0xffffffff])
  bus.write(0xd0000001, 4, 5)
})

it('refuses a second fixed device', () => {
  const bus = new MmioBus()
  bus.attach(0x1000, 0x1000, probe())
  expect(() => bus.attach(0x1fff, 2, probe())).toThrow(expect.objectContaining({ code: 'MMIO_TAKEN' }))
})

it('lets a window show only where no fixed device and no older window is', () => {
  const bus = new MmioBus()
  const older = bus.window(0x4000, probe(1))
  const younger = bus.window(0x10000, probe(2))
  bus.attach(0x12000, 0x1000, probe(3))
  younger.moveTo(0x10000)
  older.moveTo(0x11000)
  const owner = (address: number): number => bus.read(address, 4) >>> 24
  expect([0x10000, 0x11000, 0x12000, 0x13000, 0x15000, 0x1fffc, 0x20000].map(owner)).toEqual([2, 1, 3, 1, 2, 2, 0xff])
  older.moveTo(null)
  expect(owner(0x11000)).toBe(2)
  younger.moveTo(2 ** 52)
  expect(owner(0x11000)).toBe(0xff)
})

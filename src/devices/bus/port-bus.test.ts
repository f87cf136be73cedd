import { expect, it } from 'vitest'
import type { PortDevice } from '../../machine/io.ts'
import { PortBus } from './port-bus.ts'

/** Remembers writes; reads give the offset and the size. */
function probe(): PortDevice & { writes: number[][] } {
  const writes: number[][] = []
  return {
    writes,
    readPort: (offset, size) => offset << 4 | size,
    writePort: (offset, size, value) => { writes.push([offset, size, value]) },
  }
}

it('gives an access inside one range to its device, whole', () => {
  const bus = new PortBus()
  const device = probe()
  bus.attach(0x3f8, 8, device)
  expect(bus.read(0x3fc, 4)).toBe(0x44)
  bus.write(0x3fe, 2, 0x12345)
  expect(device.writes).toEqual([[6, 2, 0x2345]])
})

it('reads all ones where nothing is', () => {
  const bus = new PortBus()
  expect([bus.read(0x80, 1), bus.read(0x80, 2), bus.read(0xffff, 4)]).toEqual([0xff, 0xffff, 0xffffffff])
  bus.write(0xffff, 4, 1)
})

it('splits an access over the edge of a range into bytes', () => {
  const bus = new PortBus()
  const device = probe()
  bus.attach(0x60, 1, device)
  expect(bus.read(0x60, 2)).toBe(0xff01)
  bus.write(0x5f, 4, 0x44332211)
  expect(device.writes).toEqual([[0, 1, 0x22]])
})

it('refuses a second device, unless it is meant to be inside the first', () => {
  const bus = new PortBus()
  const outer = probe()
  const inner = probe()
  bus.attach(0xcf8, 8, outer)
  expect(() => bus.attach(0xcf9, 1, inner)).toThrow(expect.objectContaining({ code: 'PORT_TAKEN' }))
  bus.attach(0xcf9, 1, inner, { inside: true, offset: 3 })
  bus.write(0xcf8, 4, 0x80000000)
  bus.write(0xcf9, 1, 6)
  expect(outer.writes).toEqual([[0, 4, 0x80000000]])
  expect(inner.writes).toEqual([[3, 1, 6]])
})

it('moves windows, which never hide a fixed device', () => {
  const bus = new PortBus()
  bus.attach(0x1008, 8, probe(), { offset: 0x100 })
  const device = probe()
  const window = bus.window(16, device)
  expect(bus.read(0x1000, 1)).toBe(0xff)
  window.moveTo(0x1000)
  expect(bus.read(0x1004, 1)).toBe(0x41)
  expect(bus.read(0x1008, 2)).toBe(0x1002)
  window.moveTo(0x2000)
  expect([bus.read(0x1004, 1), bus.read(0x200f, 1)]).toEqual([0xff, 0xf1])
  window.moveTo(0xfff8)
  expect(bus.read(0xfff8, 1)).toBe(0xff)
  window.moveTo(null)
  expect(bus.read(0x2000, 1)).toBe(0xff)
})

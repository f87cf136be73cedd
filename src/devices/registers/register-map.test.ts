import { expect, it } from 'vitest'
import { RegisterMap } from './register-map.ts'

const seen: number[][] = []
const map = (): RegisterMap => new RegisterMap([
  { name: 'Id', offset: 0, width: 2, reset: 0x1234 },
  { name: 'Command', offset: 2, width: 2, writable: 0x00ff, written: (stored, raw) => seen.push([stored, raw]) },
  { name: 'Status', offset: 4, width: 4, reset: 0xff00, writeOneToClear: 0xf000, writable: 1 },
  { name: 'Time', offset: 8, width: 4, read: () => 0xdeadbeef },
], 16)

it('reads across registers and inside one', () => {
  const registers = map()
  registers.set('Command', 0xabcd)
  expect(registers.read(0, 4)).toBe(0xabcd1234)
  expect(registers.read(1, 2)).toBe(0xcd12)
  expect(registers.read(9, 1)).toBe(0xbe)
  expect(registers.read(10, 4)).toBe(0xdead)
  expect([registers.read(12, 4), registers.read(15, 4), registers.read(400, 4)]).toEqual([0, 0, 0])
})

it('writes only writable bits, and clears only the bits written as 1 in touched bytes', () => {
  const registers = map()
  registers.write(0, 4, 0xffffffff)
  expect(registers.read(0, 4)).toBe(0x00ff1234)
  expect(seen.pop()).toEqual([0xff, 0xffff])
  registers.write(4, 1, 0xff)
  expect(registers.get('Status')).toBe(0xff01)
  registers.write(5, 1, 0x90)
  expect(registers.get('Status')).toBe(0x6f01)
  registers.write(14, 4, 1)
})

it('restores only bits that can differ from reset', () => {
  const registers = map()
  registers.restore(() => 0xffffffff)
  expect(registers.save()).toEqual({ Id: 0x1234, Command: 0xff, Status: 0xff01, Time: 0 })
})

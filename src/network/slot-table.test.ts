import { describe, expect, it } from 'vitest'
import { Random } from '../base/testing/random.ts'
import { setU32 } from './packet/bytes.ts'
import { SlotTable } from './slot-table.ts'

describe('a table of slots', () => {
  it('does what a map and a list do', () => {
    const random = new Random(11)
    const table = new SlotTable(4, 300, random.u32())
    const model = new Map<number, number>()
    const key = new Uint8Array(4)
    for (let round = 0; round < 8000; round++) {
      const number = random.below(500)
      setU32(key, 0, number)
      const slot = table.find(key)
      expect(slot).toBe(model.get(number) ?? -1)
      const action = random.below(3)
      if (slot < 0 && action > 0) {
        const inserted = table.insert(key)
        expect(inserted < 0).toBe(model.size === 300)
        if (inserted >= 0) model.set(number, inserted)
      } else if (slot >= 0 && action === 0) {
        table.remove(slot)
        model.delete(number)
      } else if (slot >= 0) {
        table.touch(slot)
        model.delete(number)
        model.set(number, slot)
      }
      expect([table.count, table.oldest]).toEqual([model.size, model.values().next().value ?? -1])
    }
    const order: number[] = []
    for (let slot = table.oldest; slot >= 0; slot = table.after(slot)) order.push(slot)
    expect(order).toEqual([...model.values()])
    expect(order.every(slot => table.has(slot))).toBe(true)
  })
})

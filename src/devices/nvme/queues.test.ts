import { describe, expect, test } from 'vitest'
import { DriverQueue, NvmeDriver, Register } from './testing/driver.ts'
import { FakeDisk } from './testing/fake-disk.ts'
import { started } from './testing/started.ts'

const READ = 2
const FLUSH = 0

describe('queues', () => {
  test('are round, and commands end in any order', () => {
    const { driver, queue, disk } = started()
    for (let round = 0; round < 40; round++) {
      disk.isDeferred = true
      const ids = [0, 1, 2, 3, 4].map((block) => driver.transfer(queue, 'read', block, 1, [0x50000]))
      disk.answer(3)
      disk.answer(0)
      disk.answer(2)
      disk.answer(0)
      disk.answer(0)
      expect(driver.reap(queue).map(({ id }) => id)).toEqual([ids[3], ids[0], ids[4], ids[1], ids[2]])
    }
  })

  test('several share the disks, each with its vector', () => {
    const { driver, queue } = started()
    const others = [2, 3].map((id) => driver.createQueue(id, 16))
    driver.messages.length = 0
    for (const each of [others[1], queue, others[0]]) {
      expect(driver.run({ opcode: FLUSH, namespace: 1 }, each)).toMatchObject({ status: 0, queue: each.id })
    }
    expect(driver.messages).toEqual([3, 1, 2])
  })

  test('a full completion queue holds commands back, and loses none', () => {
    const driver = new NvmeDriver([new FakeDisk(1 << 20)])
    const large = driver.start('msix', 64)
    const small = new DriverQueue(2, 0x600000, 0x610000, 64)
    driver.run({ opcode: 5, prp1: small.completionBase, dwords: [3 << 16 | 2, 2 << 16 | 3] })
    driver.run({ opcode: 1, prp1: small.submissionBase, dwords: [63 << 16 | 2, 2 << 16 | 1] })
    const ids = Array.from({ length: 50 }, () => driver.put(small, { opcode: FLUSH, namespace: 1 }))
    driver.ring(small)
    const reader = new DriverQueue(2, 0, small.completionBase, 4)
    const got: number[] = []
    for (let round = 0; round < 60 && got.length < 50; round++) got.push(...driver.reap(reader).map(({ id }) => id))
    expect(got).toEqual(ids)
    expect(driver.run({ opcode: FLUSH, namespace: 1 }, large).status).toBe(0)
  })

  test('more commands than can be in flight wait in their queue', () => {
    const disk = new FakeDisk(1 << 20)
    const driver = new NvmeDriver([disk])
    const queue = driver.start('msix', 512)
    disk.isDeferred = true
    for (let index = 0; index < 500; index++) driver.put(queue, { opcode: READ, namespace: 1, prp1: 0x50000, dwords: [index, 0, 0] })
    driver.ring(queue)
    expect(disk.waiting.length).toBe(256)
    expect(driver.run({ opcode: 8, dwords: [1] }).result).toBe(1)
    while (disk.waiting.length > 0) disk.answer()
    expect(driver.reap(queue).map(({ status }) => status)).toEqual(Array.from({ length: 500 }, () => 0))
    expect(disk.log).toEqual(Array.from({ length: 500 }, (_, index) => `read ${512 * index} 512`))
  })

  test('have their turns by the arbitration burst', () => {
    const { driver, queue, disk } = started()
    const other = driver.createQueue(2, 64)
    driver.run({ opcode: 9, dwords: [1, 1] })
    driver.device.writeConfig(4, 2, 2)
    for (let block = 0; block < 5; block++) driver.transfer(queue, 'read', block, 1, [0x50000])
    for (let block = 10; block < 13; block++) driver.transfer(other, 'read', block, 1, [0x50000])
    driver.device.writeConfig(4, 2, 6)
    expect(disk.log).toEqual([0, 1, 10, 11, 2, 3, 12, 4].map((block) => `read ${512 * block} 512`))
  })

  test('INTx follows what waits, and the mask', () => {
    const driver = new NvmeDriver([new FakeDisk(1 << 20)])
    const queue = driver.start('intx')
    expect(driver.line.asserted).toBe(false)
    driver.submit(queue, { opcode: FLUSH, namespace: 1 })
    expect(driver.line.asserted).toBe(true)
    driver.writeRegister(Register.INTMS, 2)
    expect(driver.line.asserted).toBe(false)
    driver.writeRegister(Register.INTMC, 2)
    expect(driver.line.asserted).toBe(true)
    driver.reap(queue)
    expect([driver.line.asserted, driver.messages]).toEqual([false, []])
  })
})

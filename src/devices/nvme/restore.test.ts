import { describe, expect, test } from 'vitest'
import { ENABLE, NvmeDriver, Register } from './testing/driver.ts'
import { FakeDisk } from './testing/fake-disk.ts'
import { started } from './testing/started.ts'

const FLUSH = 0

describe('a restored controller', () => {
  test('has the disks do again what they had not done', () => {
    const { driver, queue, disk } = started()
    disk.isDeferred = true
    const read = driver.transfer(queue, 'read', 8, 8, [0x50000])
    const flush = driver.submit(queue, { opcode: FLUSH, namespace: 1 })
    const event = driver.submit(driver.admin, { opcode: 12 })
    const deletion = driver.submit(driver.admin, { opcode: 0, dwords: [1] })
    const disks = [new FakeDisk(1 << 20)]
    const copy = driver.moved(disks)
    expect(copy.device.save()).toEqual(driver.device.save())
    expect(disks[0].log).toEqual([])
    copy.device.resume()
    expect(disks[0].log).toEqual(['read 4096 4096', 'flush 0 0'])
    expect(copy.reap(queue)).toMatchObject([{ id: read, status: 0 }, { id: flush, status: 0 }])
    expect(Buffer.compare(copy.bytes(0x50000, 4096), disks[0].content.subarray(4096, 8192))).toBe(0)
    expect(copy.reap(copy.admin)).toMatchObject([{ id: deletion, status: 0 }])
    copy.writeRegister(Register.DOORBELLS + 8 * 7, 1)
    expect(copy.reap(copy.admin)).toMatchObject([{ id: event }])
  })

  test('goes on with a shutdown, and with a reset', () => {
    for (const [configuration, status] of [[ENABLE | 0x4000, 9], [0, 0]]) {
      const { driver, queue, disk } = started()
      disk.isDeferred = true
      driver.transfer(queue, 'write', 0, 1, [0x50000])
      driver.writeRegister(Register.CC, configuration)
      const copy = driver.moved([new FakeDisk(1 << 20)])
      copy.device.resume()
      expect(copy.readRegister(Register.CSTS)).toBe(status)
      // A late answer to the old machine's disk changes nothing in the new one.
      disk.answer()
      expect(copy.readRegister(Register.CSTS)).toBe(status)
    }
  })

  test('a machine\'s reset forgets what is in flight', () => {
    const { driver, queue, disk } = started()
    disk.isDeferred = true
    driver.transfer(queue, 'read', 0, 1, [0x50000])
    driver.device.reset()
    const fresh = driver.device.save()
    disk.answer()
    expect(driver.device.save()).toEqual(fresh)
    expect(fresh).toEqual(new NvmeDriver([new FakeDisk(4096)]).device.save())
  })
})

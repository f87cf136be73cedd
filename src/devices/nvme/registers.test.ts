import { describe, expect, test } from 'vitest'
import { gpa } from '../../base/addresses.ts'
import { Status } from './status.ts'
import { DriverQueue, ENABLE, MEMORY, NvmeDriver, Register } from './testing/driver.ts'
import { FakeDisk } from './testing/fake-disk.ts'
import { started } from './testing/started.ts'

const FLUSH = 0

describe('registers', () => {
  test('say what the controller can do', () => {
    const driver = new NvmeDriver([new FakeDisk(4096)])
    expect(driver.readRegister(Register.VS)).toBe(0x10400)
    expect(driver.readRegister(Register.CAP) & 0xffff).toBe(1023)
    expect(driver.readRegister(Register.CAP + 4)).toBe(0x20)
    driver.writeRegister(Register.INTMS, 0x80000003)
    driver.writeRegister(Register.INTMC, 1)
    expect([driver.readRegister(Register.INTMS), driver.readRegister(Register.INTMC)]).toEqual([0x80000002, 0x80000002])
    expect(driver.device.readConfig(0x08, 4)).toBe(0x01080201)
  })

  test('enabling makes the controller ready, and disabling does away with all it had', () => {
    const { driver } = started()
    expect(driver.readRegister(Register.CSTS)).toBe(1)
    expect(driver.run({ opcode: 0x09, dwords: [0x06, 0] }).status).toBe(Status.SUCCESS)
    driver.writeRegister(Register.CC, 0)
    expect(driver.readRegister(Register.CSTS)).toBe(0)
    Object.assign(driver.admin, new DriverQueue(0, 0x10000, 0x20000, 16))
    driver.memory.write(gpa(0x20000), new Uint8Array(4096))
    driver.enable()
    expect(driver.run({ opcode: 0x0a, dwords: [0x06] }).result).toBe(1)
    driver.createQueue(1, 16)
  })

  test.each([
    ['queues of one entry', (driver: NvmeDriver) => driver.writeRegister(Register.AQA, 0)],
    ['a submission queue outside RAM', (driver: NvmeDriver) => driver.writeRegister(Register.ASQ, MEMORY - 0x1000 + 0x1000)],
    ['a completion queue far away', (driver: NvmeDriver) => driver.writeRegister(Register.ACQ + 4, 0xffffffff)],
  ])('%s are fatal, until the controller is disabled', (_, damage) => {
    const driver = new NvmeDriver([new FakeDisk(4096)])
    driver.enable()
    driver.writeRegister(Register.CC, 0)
    damage(driver)
    driver.writeRegister(Register.CC, ENABLE)
    expect(driver.readRegister(Register.CSTS)).toBe(2)
    driver.writeRegister(Register.CC, 0)
    expect(driver.readRegister(Register.CSTS)).toBe(0)
  })

  test.each([0x10, 0x80, 0x800])('CC %s, which is not supported, is fatal', (bits) => {
    const driver = new NvmeDriver([new FakeDisk(4096)])
    driver.enable()
    driver.writeRegister(Register.CC, 0)
    driver.writeRegister(Register.CC, ENABLE | bits)
    expect(driver.readRegister(Register.CSTS)).toBe(2)
  })

  test('without bus mastering nothing is taken; with it, what waited is', () => {
    const { driver, queue } = started()
    driver.device.writeConfig(4, 2, 2)
    driver.submit(queue, { opcode: FLUSH, namespace: 1 })
    expect(driver.peek(queue)).toBeUndefined()
    driver.device.writeConfig(4, 2, 6)
    expect(driver.reap(queue)).toHaveLength(1)
  })

  test('shutting down completes what is under way, flushes every disk, and says so', () => {
    const disks = [new FakeDisk(1 << 20), new FakeDisk(1 << 20)]
    const { driver, queue } = started(...disks)
    disks[0].isDeferred = disks[1].isDeferred = true
    driver.transfer(queue, 'write', 0, 1, [0x50000])
    driver.writeRegister(Register.CC, ENABLE | 0x4000)
    expect(driver.readRegister(Register.CSTS)).toBe(5)
    disks[0].answer()
    expect(driver.reap(queue)).toHaveLength(1)
    expect([disks[0].log, disks[1].log]).toEqual([['write 0 512', 'flush 0 0'], ['flush 0 0']])
    disks[1].answer()
    expect(driver.readRegister(Register.CSTS)).toBe(5)
    disks[0].answer()
    expect(driver.readRegister(Register.CSTS)).toBe(9)
  })

  test('a shutdown whose flush fails is complete, and fatal', () => {
    const { driver, disk } = started()
    disk.status = 'io-error'
    driver.writeRegister(Register.CC, ENABLE | 0x8000)
    expect(driver.readRegister(Register.CSTS)).toBe(0xb)
  })

  test('a reset waits for the disks, and completes nothing any more', () => {
    const { driver, queue, disk } = started()
    disk.isDeferred = true
    driver.transfer(queue, 'read', 0, 1, [0x50000])
    driver.writeRegister(Register.CC, 0)
    expect(driver.readRegister(Register.CSTS)).toBe(1)
    driver.writeRegister(Register.CC, ENABLE)
    expect(driver.readRegister(Register.CSTS)).toBe(1)
    disk.answer()
    expect(driver.readRegister(Register.CSTS)).toBe(1)
    expect(driver.peek(queue)).toBeUndefined()
    Object.assign(driver.admin, new DriverQueue(0, 0x10000, 0x20000, 16))
    driver.memory.write(gpa(0x20000), new Uint8Array(4096))
    driver.createQueue(1, 8)
  })
})

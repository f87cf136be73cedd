import { describe, expect, test } from 'vitest'
import { Status } from './status.ts'
import { MEMORY, Register } from './testing/driver.ts'
import { FakeDisk } from './testing/fake-disk.ts'
import { started } from './testing/started.ts'

const FLUSH = 0
const text = (bytes: Uint8Array): string => String.fromCharCode(...bytes).trimEnd()
const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer)

describe('admin commands', () => {
  test('Identify describes controller and namespaces', () => {
    const { driver } = started(new FakeDisk(1 << 20), new FakeDisk(1 << 20, { blockSize: 4096, readOnly: true }))
    const controller = driver.data({ opcode: 6, dwords: [1] })
    const texts = [controller.slice(4, 24), controller.slice(24, 64), controller.slice(64, 72)].map(text)
    expect(texts).toEqual(['fake-disk', 'Tenon NVMe controller', '1'])
    expect(view(controller).getUint32(516, true)).toBe(2)
    expect(view(controller).getUint32(80, true)).toBe(0x10400)
    expect(text(controller.slice(768, 824))).toMatch(/^nqn\.2014-08\.org\.nvmexpress:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab]/)
    const [first, second] = [1, 2].map((namespace) => view(driver.data({ opcode: 6, namespace, dwords: [0] })))
    expect([first.getBigUint64(0, true), first.getUint8(130), first.getUint8(99)]).toEqual([2048n, 9, 0])
    expect([second.getBigUint64(0, true), second.getUint8(130), second.getUint8(99)]).toEqual([256n, 12, 1])
    expect(Array.from(new Uint32Array(driver.data({ opcode: 6, dwords: [2] }).buffer, 0, 4))).toEqual([1, 2, 0, 0])
    expect(Array.from(new Uint32Array(driver.data({ opcode: 6, namespace: 1, dwords: [2] }).buffer, 0, 2))).toEqual([2, 0])
    const descriptors = [1, 2].map((namespace) => driver.data({ opcode: 6, namespace, dwords: [3] }).slice(0, 24))
    expect(Array.from(descriptors[0].slice(0, 4))).toEqual([3, 16, 0, 0])
    expect(descriptors[0]).not.toEqual(descriptors[1])
  })

  test.each([
    ['Identify of no namespace', { opcode: 6, namespace: 3, dwords: [0] }, Status.INVALID_NAMESPACE],
    ['Identify of all namespaces', { opcode: 6, namespace: 0xffffffff, dwords: [0] }, Status.INVALID_NAMESPACE],
    ['a list after the last number', { opcode: 6, namespace: 0xfffffffe, dwords: [2] }, Status.INVALID_NAMESPACE],
    ['an unknown structure', { opcode: 6, dwords: [0x1c] }, Status.INVALID_FIELD],
    ['data outside RAM', { opcode: 6, dwords: [1], prp1: MEMORY }, Status.DATA_TRANSFER_ERROR],
    ['data at an odd place', { opcode: 6, dwords: [1], prp1: 0x30001 }, Status.PRP_OFFSET_INVALID],
    ['a second page at an offset', { opcode: 6, dwords: [1], prp1: 0x30004, prp2: 0x31004 }, Status.PRP_OFFSET_INVALID],
    ['an opcode that there is not', { opcode: 0x7f }, Status.INVALID_OPCODE],
    ['a scatter gather list', { opcode: 6, dwords: [1], flags: 0x40 }, Status.INVALID_FIELD],
    ['a fused command', { opcode: 6, dwords: [1], flags: 1 }, Status.INVALID_FIELD],
    ['an unknown log page', { opcode: 2, dwords: [0x70] }, Status.INVALID_LOG_PAGE],
    ['a log page of a namespace', { opcode: 2, namespace: 1, dwords: [0x7f0002] }, Status.INVALID_FIELD],
    ['a log page that is too long', { opcode: 2, dwords: [0xffff0002, 0xffff] }, Status.INVALID_FIELD],
    ['a log page from beyond its end', { opcode: 2, dwords: [0x7f0002, 0, 516] }, Status.INVALID_FIELD],
    ['saving a feature', { opcode: 9, dwords: [0x80000006, 1] }, Status.FEATURE_NOT_SAVEABLE],
    ['an unknown feature', { opcode: 9, dwords: [0x7f, 1] }, Status.INVALID_FIELD],
    ['another power state', { opcode: 9, dwords: [2, 1] }, Status.INVALID_FIELD],
    ['65536 queues', { opcode: 9, dwords: [7, 0xffff] }, Status.INVALID_FIELD],
    ['a number of queues too late', { opcode: 9, dwords: [7, 0x10001] }, Status.COMMAND_SEQUENCE_ERROR],
    ['a vector that there is not', { opcode: 9, dwords: [9, 17] }, Status.INVALID_FIELD],
    ['reading a default', { opcode: 10, dwords: [0x106] }, Status.INVALID_FIELD],
    ['a queue that is there', { opcode: 5, prp1: 0x60000, dwords: [0x3f0001, 3] }, Status.INVALID_QUEUE_IDENTIFIER],
    ['the admin queue again', { opcode: 5, prp1: 0x60000, dwords: [0x3f0000, 3] }, Status.INVALID_QUEUE_IDENTIFIER],
    ['a queue too many', { opcode: 5, prp1: 0x60000, dwords: [0x3f0011, 3] }, Status.INVALID_QUEUE_IDENTIFIER],
    ['a queue of one entry', { opcode: 5, prp1: 0x60000, dwords: [0x2, 3] }, Status.INVALID_QUEUE_SIZE],
    ['a queue that is too large', { opcode: 5, prp1: 0x60000, dwords: [0x4000002, 3] }, Status.INVALID_QUEUE_SIZE],
    ['a queue in pieces', { opcode: 5, prp1: 0x60000, dwords: [0x3f0002, 2] }, Status.INVALID_FIELD],
    ['a queue at an offset', { opcode: 5, prp1: 0x60010, dwords: [0x3f0002, 3] }, Status.PRP_OFFSET_INVALID],
    ['a queue outside RAM', { opcode: 5, prp1: MEMORY, dwords: [0x3f0002, 3] }, Status.DATA_TRANSFER_ERROR],
    ['a queue with an impossible vector', { opcode: 5, prp1: 0x60000, dwords: [0x3f0002, 0x110003] }, Status.INVALID_INTERRUPT_VECTOR],
    ['a queue without a completion queue', { opcode: 1, prp1: 0x60000, dwords: [0x3f0002, 0x20001] }, Status.COMPLETION_QUEUE_INVALID],
    ['a submission queue with the admin queue', { opcode: 1, prp1: 0x60000, dwords: [0x3f0002, 1] }, Status.INVALID_QUEUE_IDENTIFIER],
    ['deleting the admin queue', { opcode: 0, dwords: [0] }, Status.INVALID_QUEUE_IDENTIFIER],
    ['deleting no queue', { opcode: 4, dwords: [9] }, Status.INVALID_QUEUE_IDENTIFIER],
    ['deleting a completion queue in use', { opcode: 4, dwords: [1] }, Status.INVALID_QUEUE_DELETION],
  ])('%s is refused', (_, fields, status) => {
    const { driver } = started()
    const completion = driver.run({ prp1: 0x30000, prp2: 0x31000, ...fields })
    expect([completion.status, completion.doNotRetry]).toEqual([status, true])
    expect(view(driver.data({ opcode: 2, dwords: [0x3ff0001] })).getUint16(12, true) >> 1 & 0x7ff).toBe(status)
  })

  test('features are kept until the controller is disabled', () => {
    const { driver } = started()
    for (const [feature, value] of [[1, 0x01020303], [4, 0x100], [5, 0xabcd], [6, 0], [8, 0x1234], [10, 1], [11, 2]]) {
      expect(driver.run({ opcode: 9, dwords: [feature, value] }).status).toBe(Status.SUCCESS)
      expect(driver.run({ opcode: 10, dwords: [feature] }).result).toBe(value)
    }
    expect(driver.run({ opcode: 9, dwords: [9, 0x10002] }).status).toBe(Status.SUCCESS)
    expect(driver.run({ opcode: 10, dwords: [9, 2] }).result).toBe(0x10002)
    expect(driver.run({ opcode: 10, dwords: [7] }).result).toBe(0xf000f)
    expect(driver.run({ opcode: 10, dwords: [2] }).result).toBe(0)
  })

  test('SMART counts what was moved, and warns', () => {
    const { driver, queue, disk } = started()
    driver.transfer(queue, 'read', 0, 8, [0x50000])
    driver.transfer(queue, 'write', 0, 8, [0x50000])
    driver.transfer(queue, 'read', 0, 8, [0x50000])
    disk.status = 'io-error'
    driver.transfer(queue, 'read', 0, 8, [0x50000])
    driver.clock.advance(2.5 * 3600e9)
    driver.run({ opcode: 9, dwords: [4, 200] })
    const smart = view(driver.data({ opcode: 2, namespace: 0xffffffff, dwords: [0x7f0002] }))
    expect([smart.getUint8(0), smart.getUint16(1, true)]).toEqual([2, 298])
    expect([32, 48, 64, 80, 128, 160, 176].map((offset) => smart.getBigUint64(offset, true))).toEqual([1n, 1n, 2n, 1n, 2n, 1n, 1n])
  })

  test('other log pages name the firmware and the commands', () => {
    const { driver } = started()
    expect(text(driver.data({ opcode: 2, dwords: [0x7f0003] }).slice(8, 16))).toBe('1')
    const commands = driver.data({ opcode: 2, dwords: [0x3ff0005] })
    const opcodes = Array.from({ length: 256 }, (_, opcode) => opcode)
    const supported = [0, 1024].map((start) => opcodes.filter((opcode) => commands[start + 4 * opcode] & 1))
    expect(supported).toEqual([[0, 1, 2, 4, 5, 6, 8, 9, 10, 12], [0, 1, 2, 8, 9]])
    expect(driver.data({ opcode: 2, dwords: [0x70005, 0, 1024] }).slice(0, 32)).toEqual(commands.slice(1024, 1056))
  })

  test('events wait for their requests, come once, and come again when their log was read', () => {
    const { driver } = started()
    const badDoorbell = (): void => driver.writeRegister(Register.DOORBELLS + 8 * 5, 1)
    const first = driver.submit(driver.admin, { opcode: 12 })
    const second = driver.submit(driver.admin, { opcode: 12 })
    expect(driver.reap(driver.admin)).toEqual([])
    badDoorbell()
    badDoorbell()
    expect(driver.reap(driver.admin)).toMatchObject([{ id: first, status: 0, result: 0x10000 }])
    driver.data({ opcode: 2, dwords: [0x3ff8001] })
    driver.writeRegister(Register.DOORBELLS + 8, 64)
    expect(driver.reap(driver.admin)).toEqual([])
    driver.data({ opcode: 2, dwords: [0x3ff0001] })
    driver.writeRegister(Register.DOORBELLS + 8, 64)
    expect(driver.reap(driver.admin)).toMatchObject([{ id: second, status: 0, result: 0x10100 }])
    driver.run({ opcode: 9, dwords: [11, 2] })
    driver.run({ opcode: 9, dwords: [4, 100] })
    expect(driver.run({ opcode: 12 }).result).toBe(0x20101)
  })

  test('four event requests can wait; Abort ends them, and nothing else', () => {
    const { driver, queue, disk } = started()
    const ids = Array.from({ length: 4 }, () => driver.submit(driver.admin, { opcode: 12 }))
    expect(driver.run({ opcode: 12 }).status).toBe(Status.ASYNCHRONOUS_EVENT_LIMIT)
    const abort = driver.submit(driver.admin, { opcode: 8, dwords: [ids[1] << 16] })
    expect(driver.reap(driver.admin)).toMatchObject([{ id: ids[1], status: Status.ABORT_REQUESTED }, { id: abort, status: 0, result: 0 }])
    disk.isDeferred = true
    const read = driver.transfer(queue, 'read', 0, 1, [0x50000])
    expect(driver.run({ opcode: 8, dwords: [read << 16 | 1] }).result).toBe(1)
    disk.answer()
    expect(driver.reap(queue)).toMatchObject([{ id: read, status: 0 }])
  })

  test('a submission queue is deleted when what was taken from it is done', () => {
    const { driver, queue, disk } = started()
    disk.isDeferred = true
    driver.transfer(queue, 'read', 0, 1, [0x50000])
    const deletion = driver.submit(driver.admin, { opcode: 0, dwords: [1] })
    driver.submit(queue, { opcode: FLUSH, namespace: 1 })
    expect(driver.run({ opcode: 0, dwords: [1] }).status).toBe(Status.INVALID_QUEUE_IDENTIFIER)
    expect(driver.run({ opcode: 4, dwords: [1] }).status).toBe(Status.INVALID_QUEUE_DELETION)
    disk.answer()
    expect(driver.reap(driver.admin)).toMatchObject([{ id: deletion, status: 0 }])
    expect(driver.reap(queue)).toMatchObject([{ head: 1 }])
    expect(disk.log).toEqual(['read 0 512'])
    expect(driver.run({ opcode: 4, dwords: [1] }).status).toBe(Status.SUCCESS)
    driver.createQueue(1, 16)
  })
})

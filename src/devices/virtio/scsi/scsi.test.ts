import { beforeEach, describe, expect, it } from 'vitest'
import { gpa } from '../../../base/addresses.ts'
import { DeviceStatus, Feature } from '../bits.ts'
import { DISK_LIMITS } from '../disk-limits.ts'
import { VirtioDriver } from '../testing/driver.ts'
import { FakeDisk } from '../testing/fake-disk.ts'
import { attach } from '../testing/function.ts'
import type { AttachedFunction } from '../testing/function.ts'
import { PlainMemory } from '../testing/plain-memory.ts'
import { Command } from './command-block.ts'
import { ControlType, Response, TaskManagement } from './request.ts'
import { VirtioScsi } from './scsi.ts'
import { Senses } from './sense.ts'
import type { Sense } from './sense.ts'

const DISK_SIZE = 1 << 20
const SENSE_SIZE = 96
const RESPONSE_SIZE = 12 + SENSE_SIZE

let memory: PlainMemory
let disks: FakeDisk[]
let device: VirtioScsi
let attached: AttachedFunction
let driver: VirtioDriver

function build(...options: ConstructorParameters<typeof FakeDisk>[1][]): void {
  memory = new PlainMemory(8 << 20)
  disks = options.map((each) => new FakeDisk(DISK_SIZE, each))
  device = new VirtioScsi(disks, { queues: 2 })
  attached = attach(device, memory)
  driver = new VirtioDriver(attached.device, memory).start([Feature.RING_INDIRECT_DESC], 32)
}

beforeEach(() => build({}, {}))

interface Asked {
  readonly cdb: readonly number[]
  readonly unit?: readonly number[]
  readonly out?: Uint8Array
  /** Room for data. */
  readonly room?: number
  readonly id?: number
}

interface Answer {
  readonly response: number
  readonly status: number
  readonly residual: number
  readonly sense: Uint8Array
  readonly data: Uint8Array
  /** As the used ring says. */
  readonly length: number
}

function submit({ cdb, unit = [1, 0, 0, 0], out = new Uint8Array(0), room = 0, id = 7 }: Asked, queue = 2): () => Answer | undefined {
  const request = driver.allocate(51 + out.length)
  memory.bytes.fill(0, request, request + 51)
  memory.write(gpa(request), Uint8Array.from(unit))
  memory.writeU32(gpa(request + 8), id)
  memory.write(gpa(request + 19), Uint8Array.from(cdb))
  memory.write(gpa(request + 51), out)
  const answer = driver.allocate(RESPONSE_SIZE + room)
  memory.bytes.fill(0xee, answer, answer + RESPONSE_SIZE + room)
  // The data is cut off in odd places.
  const head = driver.queues[queue].add([
    { address: request, length: 5, writable: false }, { address: request + 5, length: 46 + out.length, writable: false },
    { address: answer, length: 11, writable: true }, { address: answer + 11, length: RESPONSE_SIZE - 11 + room, writable: true },
  ])
  driver.queues[queue].notify()
  return () => {
    const used = driver.queues[queue].poll().find((each) => each.head === head)
    return used && readAnswer(answer, used.length, room)
  }
}

function readAnswer(at: number, length: number, room: number): Answer {
  const senseLength = memory.readU32(gpa(at))
  return {
    response: memory.readU8(gpa(at + 11)), status: memory.readU8(gpa(at + 10)), residual: memory.readU32(gpa(at + 4)), length,
    sense: memory.bytes.slice(at + 12, at + 12 + senseLength), data: memory.bytes.slice(at + RESPONSE_SIZE, at + RESPONSE_SIZE + room),
  }
}

const perform = (asked: Asked, queue = 2): Answer => submit(asked, queue)()!
const big = (value: number, bytes: number): number[] =>
  Array.from({ length: bytes }, (_, index) => Math.floor(value / 256 ** (bytes - 1 - index)) % 256)
const expectSense = (answer: Answer, { key, code }: Sense): void => {
  expect([answer.response, answer.status, answer.sense.length]).toEqual([0, 2, 18])
  expect([answer.sense[0], answer.sense[2], answer.sense[12] << 8 | answer.sense[13]]).toEqual([0x70, key, code])
}
const words = (bytes: Uint8Array): number[] => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  return Array.from({ length: bytes.length / 4 }, (_, index) => view.getUint32(4 * index))
}
const ascii = (bytes: Uint8Array): string => String.fromCharCode(...bytes)

describe('what the device and its units say of themselves', () => {
  it('is in the configuration space', () => {
    const at = (offset: number): number => driver.read(0x2000 + offset, 4)
    expect([0, 4, 8, 0x14, 0x18, 0x1c, 0x20].map(at)).toEqual([2, DISK_LIMITS.SEGMENTS, DISK_LIMITS.TRANSFER / 512, 96, 32, 0, 255])
    driver.write(0x2014, 4, 18)
    driver.write(0x2018, 4, 1 << 20)
    expect([at(0x14), at(0x18)]).toEqual([18, 32])
    driver.status = 0
    expect(at(0x14)).toBe(96)
  })

  it('is a list of units', () => {
    const { data, residual } = perform({ cdb: [Command.REPORT_LUNS, 0, 0, 0, 0, 0, ...big(100, 4)], room: 40 })
    expect([words(data.subarray(0, 24)), residual]).toEqual([[16, 0, 0, 0, 0x00010000, 0], 16])
    expectSense(perform({ cdb: [Command.REPORT_LUNS, 0, 0, 0, 0, 0, ...big(8, 4)], room: 40 }), Senses.INVALID_FIELD_IN_CDB)
  })

  it('is told by INQUIRY and its pages', () => {
    const { data, residual } = perform({ cdb: [Command.INQUIRY, 0, 0, 0, 36], room: 36 })
    expect([data[0], ascii(data.subarray(8, 36)), residual]).toEqual([0, 'TENON   DISK            1   ', 0])
    const page = (number: number): Uint8Array => perform({ cdb: [Command.INQUIRY, 1, number, 0, 255], room: 255 }).data
    expect(Array.from(page(0).subarray(0, 10))).toEqual([0, 0, 0, 6, 0, 0x80, 0x83, 0xb0, 0xb1, 0xb2])
    expect(ascii(page(0x80).subarray(4, 24))).toBe(disks[0].serial)
    expect(ascii(page(0x83).subarray(8, 36))).toBe(`TENON   ${disks[0].serial}`)
    expect(words(page(0xb0)).slice(1, 11)).toEqual([
      0x01000008, DISK_LIMITS.TRANSFER / 512, 0, 0, DISK_LIMITS.DISCARD / 512, 16, 8, 0, 0, DISK_LIMITS.TRANSFER / 512,
    ])
    expectSense(perform({ cdb: [Command.INQUIRY, 1, 0x99, 0, 255], room: 255 }), Senses.INVALID_FIELD_IN_CDB)
  })

  it('is their capacity and their modes', () => {
    build({ blockSize: 4096 }, { readOnly: true })
    const last = DISK_SIZE / 4096 - 1
    expect(words(perform({ cdb: [Command.READ_CAPACITY_10], room: 8 }).data)).toEqual([last, 4096])
    const capacity = perform({ cdb: [Command.SERVICE_ACTION_IN_16, 0x10, ...big(0, 8), ...big(32, 4)], room: 32 })
    expect(words(capacity.data).slice(0, 4)).toEqual([0, last, 4096, 0x00008000])
    const modes = perform({ cdb: [Command.MODE_SENSE_6, 0, 0x3f, 0, 255], room: 64 })
    expect(Array.from(modes.data.subarray(0, 7))).toEqual([35, 0, 0x10, 0, 0x08, 18, 0x04])
    const locked = perform({ cdb: [Command.MODE_SENSE_10, 0, 0x48, 0, 0, 0, 0, 0, 64], unit: [1, 0, 0, 1], room: 64 })
    expect(Array.from(locked.data.subarray(0, 11))).toEqual([0, 26, 0, 0x90, 0, 0, 0, 0, 0x08, 18, 0])
    expectSense(perform({ cdb: [Command.MODE_SENSE_6, 0, 0x1c, 0, 255], room: 64 }), Senses.INVALID_FIELD_IN_CDB)
  })
})

describe('addresses', () => {
  it('lead to units, flat ones too', () => {
    perform({ cdb: [Command.WRITE_10, 0, ...big(3, 4), 0, ...big(1, 2)], unit: [1, 0, 0x40, 1], out: new Uint8Array(512).fill(9) })
    expect([disks[0].log, disks[1].log]).toEqual([[], ['write 1536 512']])
  })

  it('of targets and units that are not there', () => {
    expect(perform({ cdb: [Command.TEST_UNIT_READY], unit: [1, 1, 0, 0] }).response).toBe(Response.BAD_TARGET)
    expect(perform({ cdb: [Command.TEST_UNIT_READY], unit: [0, 0, 0, 0] }).response).toBe(Response.BAD_TARGET)
    expect(perform({ cdb: [Command.INQUIRY, 0, 0, 0, 36], unit: [1, 0, 0, 2], room: 36 }).data[0]).toBe(0x7f)
    for (const unit of [[1, 0, 0, 2], [1, 0, 0x80, 0], [1, 0, 0, 0, 1]]) {
      expectSense(perform({ cdb: [Command.TEST_UNIT_READY], unit }), Senses.LOGICAL_UNIT_NOT_SUPPORTED)
    }
    expect(perform({ cdb: [Command.REPORT_LUNS, 0, 0, 0, 0, 0, ...big(100, 4)], unit: [1, 0, 0, 9], room: 40 }).status).toBe(0)
  })
})

describe('disk commands', () => {
  it.each([
    ['6', [Command.READ_6, 0, 0, 5, 3], [Command.WRITE_6, 0, 0, 5, 3]],
    ['10', [Command.READ_10, 0, ...big(5, 4), 0, ...big(3, 2)], [Command.WRITE_10, 8, ...big(5, 4), 0, ...big(3, 2)]],
    ['12', [Command.READ_12, 0, ...big(5, 4), ...big(3, 4)], [Command.WRITE_12, 0, ...big(5, 4), ...big(3, 4)]],
    ['16', [Command.READ_16, 0, ...big(5, 8), ...big(3, 4)], [Command.WRITE_16, 0, ...big(5, 8), ...big(3, 4)]],
  ])('of %s bytes read and write', (size, read, write) => {
    const got = perform({ cdb: read, room: 4 * 512 }, 3)
    expect([got.status, got.residual, got.length]).toEqual([0, 512, RESPONSE_SIZE + 3 * 512])
    expect(got.data.subarray(0, 3 * 512)).toEqual(disks[0].content.subarray(5 * 512, 8 * 512))
    const content = Uint8Array.from({ length: 3 * 512 }, (_, index) => index * 5)
    expect(perform({ cdb: write, out: content })).toMatchObject({ status: 0, residual: 0, length: RESPONSE_SIZE })
    expect(disks[0].content.slice(5 * 512, 8 * 512)).toEqual(content)
    expect(disks[0].log).toEqual(['read 2560 1536', size === '10' ? 'write 2560 1536 fua' : 'write 2560 1536'])
  })

  it('flush, unmap and write the same block', () => {
    const ranges = [[8, 16], [99, 1]].flatMap(([first, count]) => [...big(first, 8), ...big(count, 4), 0, 0, 0, 0])
    const list = Uint8Array.from([...big(38, 2), ...big(32, 2), 0, 0, 0, 0, ...ranges])
    const block = new Uint8Array(512).fill(0xab)
    const statuses = [
      { cdb: [Command.SYNCHRONIZE_CACHE_10] }, { cdb: [Command.SYNCHRONIZE_CACHE_16] }, { cdb: [Command.START_STOP_UNIT] },
      { cdb: [Command.UNMAP, 0, 0, 0, 0, 0, 0, ...big(40, 2)], out: list },
      { cdb: [Command.WRITE_SAME_10, 0, ...big(20, 4), 0, ...big(4, 2)], out: block },
      { cdb: [Command.WRITE_SAME_16, 8, ...big(30, 8), ...big(8, 4)], out: new Uint8Array(512) },
      { cdb: [Command.WRITE_SAME_16, 1, ...big(40, 8), ...big(8, 4)] },
    ].map((each) => perform(each).status)
    expect(statuses).toEqual([0, 0, 0, 0, 0, 0, 0])
    expect(disks[0].log).toEqual([
      'flush 0 0', 'flush 0 0', 'discard 4096 8192  unmap', 'discard 50688 512  unmap', 'write 10240 2048',
      'write-zeroes 15360 4096  unmap', 'write-zeroes 20480 4096',
    ])
    expect(disks[0].content.slice(20 * 512, 24 * 512)).toEqual(new Uint8Array(2048).fill(0xab))
  })

  it('that are impossible are refused', () => {
    const end = DISK_SIZE / 512
    build({}, { readOnly: true })
    const refused: [Asked, Sense][] = [
      [{ cdb: [0xff] }, Senses.INVALID_OPERATION_CODE],
      [{ cdb: [Command.READ_10, 0, ...big(end - 1, 4), 0, ...big(2, 2)], room: 1024 }, Senses.LBA_OUT_OF_RANGE],
      [{ cdb: [Command.READ_16, 0, ...big(2 ** 40, 8), ...big(0, 4)] }, Senses.LBA_OUT_OF_RANGE],
      [{ cdb: [Command.READ_10, 0x20, ...big(0, 4), 0, ...big(1, 2)], room: 512 }, Senses.INVALID_FIELD_IN_CDB],
      [{ cdb: [Command.WRITE_6, 0, 0, 0, 1], unit: [1, 0, 0, 1], out: new Uint8Array(512) }, Senses.WRITE_PROTECTED],
      [{ cdb: [Command.UNMAP, 0, 0, 0, 0, 0, 0, ...big(7, 2)], out: new Uint8Array(7) }, Senses.PARAMETER_LIST_LENGTH_ERROR],
      [{ cdb: [Command.UNMAP, 0, 0, 0, 0, 0, 0, 0, 8], out: Uint8Array.from(big(16 * 2 ** 32, 8)) }, Senses.INVALID_FIELD_IN_PARAMETER_LIST],
      [{ cdb: [Command.WRITE_SAME_10, 0, ...big(0, 4), 0, ...big(0, 2)], out: new Uint8Array(512) }, Senses.INVALID_FIELD_IN_CDB],
      [{ cdb: [Command.WRITE_SAME_16, 0, ...big(0, 8), ...big(1, 4)], out: new Uint8Array(511) }, Senses.INVALID_FIELD_IN_CDB],
      [{ cdb: [Command.SERVICE_ACTION_IN_16, 0x11] }, Senses.INVALID_FIELD_IN_CDB],
    ]
    for (const [asked, sense] of refused) expectSense(perform(asked), sense)
    expect(disks.map(({ log }) => log)).toEqual([[], []])
  })

  it('overrun when there is too little room', () => {
    expect(perform({ cdb: [Command.READ_6, 0, 0, 0, 2], room: 1023 })).toMatchObject({ response: Response.OVERRUN, status: 0 })
    expect(perform({ cdb: [Command.WRITE_6, 0, 0, 0, 2], out: new Uint8Array(1023) }).response).toBe(Response.OVERRUN)
    expect(perform({ cdb: [Command.INQUIRY, 0, 0, 0, 36], room: 35 }).response).toBe(Response.OVERRUN)
  })

  it('fail as their disk does', () => {
    const read = { cdb: [Command.READ_6, 0, 0, 0, 1], room: 512 }
    const write = { cdb: [Command.WRITE_6, 0, 0, 0, 1], out: new Uint8Array(512) }
    for (const [status, asked, sense] of [
      ['io-error', read, Senses.UNRECOVERED_READ_ERROR], ['io-error', write, Senses.WRITE_ERROR],
      ['no-space', write, Senses.SPACE_ALLOCATION_FAILED],
    ] as const) {
      disks[0].status = status
      const answer = perform(asked)
      expectSense(answer, sense)
      expect([answer.residual, answer.length]).toEqual([512, RESPONSE_SIZE])
    }
  })

  it('without room for an answer break the device', () => {
    driver.queues[2].add([[51, false], [107, true]].map(([length, writable]) => ({
      address: driver.allocate(length as number), length: length as number, writable: writable as boolean,
    })))
    driver.queues[2].notify()
    expect(driver.status & DeviceStatus.DEVICE_NEEDS_RESET).not.toBe(0)
  })
})

describe('task management', () => {
  beforeEach(() => build({ deferred: true }, { deferred: true }))

  function manage(
    subtype: number, { unit = [1, 0, 0, 0], id = 7, type = ControlType.TASK_MANAGEMENT as number } = {},
  ): () => number | undefined {
    const request = driver.allocate(24)
    memory.bytes.fill(0, request, request + 24)
    memory.writeU32(gpa(request), type)
    memory.writeU32(gpa(request + 4), subtype)
    memory.write(gpa(request + 8), Uint8Array.from(unit))
    memory.writeU32(gpa(request + 16), id)
    const response = driver.allocate(5)
    driver.queues[0].add([{ address: request, length: 24, writable: false }, { address: response, length: 5, writable: true }])
    driver.queues[0].notify()
    return () => driver.queues[0].poll().length === 1 ? memory.readU8(gpa(response)) : undefined
  }

  it('waits for the commands that it is about', () => {
    const reads = [1, 2].map((id) => submit({ cdb: [Command.READ_6, 0, 0, id, 1], room: 512, id }))
    const abort = manage(TaskManagement.ABORT_TASK, { id: 2 })
    expect(abort()).toBeUndefined()
    disks[0].answer(0)
    expect([reads[0]()?.status, abort()]).toEqual([0, undefined])
    const reset = manage(TaskManagement.LOGICAL_UNIT_RESET)
    const later = submit({ cdb: [Command.READ_6, 0, 0, 3, 1], room: 512, id: 3 })
    disks[0].answer(0)
    expect(driver.queues[0].poll().length).toBe(2)
    expect([reads[1]()?.status, reset(), later()]).toEqual([0, undefined, undefined])
  })

  it('answers at once where there is nothing to wait for', () => {
    submit({ cdb: [Command.READ_6, 0, 0, 1, 1], room: 512, id: 1 })
    const { OK, FUNCTION_SUCCEEDED, FUNCTION_REJECTED, BAD_TARGET, INCORRECT_LUN } = Response
    expect([
      manage(TaskManagement.ABORT_TASK_SET, { unit: [1, 0, 0, 1] })(), manage(TaskManagement.ABORT_TASK, { id: 5 })(),
      manage(TaskManagement.QUERY_TASK, { id: 1 })(), manage(TaskManagement.QUERY_TASK, { id: 2 })(),
      manage(TaskManagement.QUERY_TASK_SET)(),
      manage(TaskManagement.CLEAR_ACA)(), manage(99)(), manage(0, { unit: [1, 5, 0, 0] })(), manage(0, { unit: [1, 0, 0, 2] })(),
      manage(0, { type: 9 })(), manage(0, { type: ControlType.QUERY })(),
    ]).toEqual([
      OK, OK, FUNCTION_SUCCEEDED, OK, FUNCTION_SUCCEEDED, FUNCTION_REJECTED, FUNCTION_REJECTED, BAD_TARGET, INCORRECT_LUN,
      FUNCTION_REJECTED, OK,
    ])
  })

  it('and commands go on after a restore', () => {
    const read = submit({ cdb: [Command.READ_6, 0, 0, 1, 1], room: 512 })
    const reset = manage(TaskManagement.NEXUS_RESET)
    const saved = attached.device.save()
    const others = [new FakeDisk(DISK_SIZE, { deferred: true }), new FakeDisk(DISK_SIZE)]
    const copy = attach(new VirtioScsi(others, { queues: 2 }), memory)
    copy.device.restore(saved)
    copy.device.resume()
    expect([others[0].log, driver.queues[0].poll()]).toEqual([['read 512 512'], []])
    others[0].answer()
    expect([read()?.status, reset()]).toEqual([0, Response.OK])
  })

  it('does not keep a driver from resetting the device, once commands are done', () => {
    submit({ cdb: [Command.READ_6, 0, 0, 1, 1], room: 512 })
    manage(TaskManagement.NEXUS_RESET)
    driver.status = 0
    expect(driver.status).not.toBe(0)
    disks[0].answer()
    expect(driver.status).toBe(0)
  })
})

it('has no more units than it can count', () => {
  const disk = new FakeDisk(512)
  const build = () => new VirtioScsi(Array.from({ length: 257 }, () => disk))
  expect(build).toThrow(expect.objectContaining({ code: 'SCSI_UNITS_INVALID' }))
})

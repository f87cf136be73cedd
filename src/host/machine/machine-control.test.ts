import { mkdtempSync, existsSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { BlockRequest, BlockStatus } from '../../machine/block.ts'
import { Bell, MachineChannel } from './channel.ts'
import type { ControlProblem, ControlRequest } from './control-protocol.ts'
import { MachineControl } from './machine-control.ts'

let folder: string
beforeEach(() => { folder = mkdtempSync(join(tmpdir(), 'tenon-control-')) })
afterEach(() => rmSync(folder, { recursive: true }))

/** A disk that owes some answers, and gives one each time it is settled; flushes it answers with a status. */
class SlowDisk {
  readonly log: string[] = []
  readonly waiting: (() => void)[] = []
  stuck = false
  flushStatus: BlockStatus = 'ok'
  readonly disks = [{ size: 512, blockSize: 512, readOnly: false, serial: '', submit: (request: BlockRequest) => this.submit(request) }]

  constructor(owed: number) { for (let n = 0; n < owed; n++) this.waiting.push(() => this.log.push(`answer ${n}`)) }

  get busy(): boolean { return this.waiting.length > 0 }

  settle(): void {
    if (!this.stuck) this.waiting.shift()?.()
  }

  private submit(request: BlockRequest): void {
    this.log.push(request.operation)
    this.waiting.push(() => request.done(this.flushStatus))
  }
}

function ask(disks: SlowDisk | undefined, ...requests: ControlRequest[]) {
  const channel = new MachineChannel()
  const log = disks?.log ?? []
  const answers: (readonly [number, string])[] = []
  const control = new MachineControl({
    channel, disks, diskTimeout: 50,
    machine: {
      pause: () => void log.push('pause'),
      encode: () => [new TextEncoder().encode('TENONVM\n')],
    },
    receive: () => {
      const request = requests.shift()
      // Other bells that ring meanwhile.
      channel.ring(Bell.DISK | Bell.INPUT)
      return request && { number: answers.length, request }
    },
    answer: (number, problem) => { answers.push([number, problem?.code ?? 'done']) },
    explain: error => error as ControlProblem,
  })
  control.look()
  return { control, answers, log, bell: channel.answer() }
}

test('a machine stands still when its disks have answered, and are flushed', () => {
  const { control, answers, log, bell } = ask(new SlowDisk(3), { kind: 'pause' })
  expect([control.paused, answers]).toEqual([true, [[0, 'done']]])
  expect(log).toEqual(['pause', 'answer 0', 'answer 1', 'answer 2', 'flush'])
  expect(bell & Bell.INPUT).toBe(Bell.INPUT)
})

test('it is saved, and goes on if it was not paused', () => {
  const path = join(folder, 'one')
  const running = ask(undefined, { kind: 'save', path })
  expect([running.control.paused, running.answers, existsSync(path)]).toEqual([false, [[0, 'done']], true])
  const paused = ask(undefined, { kind: 'pause' }, { kind: 'save', path }, { kind: 'resume' }, { kind: 'pause' })
  expect([paused.control.paused, paused.answers.map(([, code]) => code)]).toEqual([true, ['done', 'done', 'done', 'done']])
})

test('it goes on if a disk does not answer, cannot be flushed, or the file cannot be written', () => {
  const stuck = new SlowDisk(1)
  stuck.stuck = true
  const failing = new SlowDisk(0)
  failing.flushStatus = 'io-error'
  for (const disk of [stuck, failing]) {
    const { control, answers } = ask(disk, { kind: 'pause' })
    expect([control.paused, answers]).toEqual([false, [[0, 'MACHINE_DISKS_BUSY']]])
  }
  const { control, answers } = ask(undefined, { kind: 'save', path: join(folder, 'no', 'one') })
  expect([control.paused, answers]).toEqual([false, [[0, 'SNAPSHOT_UNWRITABLE']]])
})

import { beforeEach, describe, expect, it } from 'vitest'
import { deviceContract } from '../testing/contract.ts'
import { RecordedLine } from '../testing/recorded-line.ts'
import { CoprocessorError } from './coprocessor-error.ts'

describe('coprocessor error', () => {
  let irq: RecordedLine
  let device: CoprocessorError
  beforeEach(() => {
    irq = new RecordedLine()
    device = new CoprocessorError(irq)
  })

  it('latches IRQ 13 when FERR# becomes asserted, until port 0xf0 is written', () => {
    device.setError(true)
    expect([irq.asserted, device.ignoresError]).toEqual([true, false])
    device.setError(false)
    expect(irq.asserted).toBe(true)
    device.writeByte(0)
    expect([irq.asserted, device.ignoresError]).toEqual([false, false])
  })

  it('asserts IGNNE# from the write on for as long as FERR# is', () => {
    device.setError(true)
    device.writeByte(0)
    device.setError(true)
    expect([irq.asserted, device.ignoresError]).toEqual([false, true])
    device.setError(false)
    expect(device.ignoresError).toBe(false)
    device.setError(true)
    expect([irq.asserted, irq.rises, device.ignoresError]).toEqual([true, 2, false])
  })
})

deviceContract('coprocessor error', (world) => {
  const device = new CoprocessorError(world.line())
  const actions = [() => device.setError(true), () => device.setError(false), () => device.ignoresError]
  return { device, ports: [{ device, length: 2 }], actions }
})

import { expect, it } from 'vitest'
import { deviceContract } from '../testing/contract.ts'
import { PvPanic } from './pvpanic.ts'

it('reports each kind of panic once, until a reset', () => {
  const heard: string[] = []
  const device = new PvPanic((panic) => { heard.push(panic) })
  expect([device.readPort(0, 1), device.readPort(0, 4), device.readPort(3, 1)]).toEqual([3, 3, 0])
  for (const value of [0, 0xfc, 2, 2, 1, 3]) device.writePort(0, 1, value)
  device.writePort(1, 1, 1)
  expect(heard).toEqual(['crash-kernel', 'panicked'])
  device.reset()
  device.writePort(0, 1, 1)
  expect(heard).toEqual(['crash-kernel', 'panicked', 'panicked'])
})

deviceContract('pvpanic', (world) => {
  const device = new PvPanic((panic) => { world.events.push(panic) })
  return { device, ports: [{ device, length: 1 }] }
})

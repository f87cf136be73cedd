import { expect, test, vi } from 'vitest'
import type { BalloonStatistics } from '../../machine/balloon.ts'
import { Bell, MachineChannel } from './channel.ts'
import { DeviceControls } from './device-controls.ts'
import { HostBalloon } from './host-balloon.ts'

/** Both ends of the controls of a machine whose guest has drivers, or has not. */
function connect(hasDriver = true) {
  const channel = new MachineChannel()
  const host = new HostBalloon(channel)
  const controls = new DeviceControls(new MachineChannel(channel.memory), statistics => host.answered(statistics))
  const calls: string[] = []
  controls.connect({
    console: { resize: (columns, rows) => void calls.push(`${columns}x${rows}`) },
    balloon: {
      size: 0,
      setTarget: bytes => void calls.push(`target ${bytes}`),
      requestStatistics: () => hasDriver && calls.push('asked') > 0,
    },
  })
  return { channel, host, controls, calls }
}

test('the window has the size that the host says', () => {
  const { channel, controls, calls } = connect()
  channel.consoleSize = { columns: 65_535, rows: 50_000 }
  controls.apply()
  expect(calls).toEqual(['65535x50000', 'target 0'])
})

test('the balloon is asked in whole pages, and says how large it is', () => {
  const { channel, host, controls, calls } = connect()
  host.setTarget(10_000)
  expect(channel.answer()).toBe(Bell.CONTROL)
  controls.apply()
  controls.balloon.resized!(8192)
  expect([calls.at(-1), host.size]).toEqual(['target 8192', 8192])
  host.setTarget(-1)
  controls.apply()
  expect(calls.at(-1)).toBe('target 0')
})

test('statistics come when they are asked for, once for all who ask', async () => {
  const { host, controls, calls } = connect()
  const told: BalloonStatistics = { free: 5n }
  controls.balloon.statistics!({ free: 1n })
  const both = Promise.all([host.statistics(), host.statistics()])
  controls.apply()
  controls.balloon.statistics!(told)
  controls.balloon.statistics!({ free: 9n })
  expect([await both, calls.filter(call => call === 'asked').length]).toEqual([[told, told], 1])
})

test('a guest without a driver has none, and one that does not answer', async () => {
  const { host, controls } = connect(false)
  const answer = host.statistics()
  controls.apply()
  expect(await answer).toBeUndefined()
  vi.useFakeTimers()
  const late = connect().host.statistics()
  vi.runAllTimers()
  vi.useRealTimers()
  expect(await late).toBeUndefined()
  host.end()
  expect(await host.statistics()).toBeUndefined()
})

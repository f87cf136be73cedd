import { expect, test } from 'vitest'
import { checkRange, checkSize, Gate } from './gate.ts'

test('close waits for what is in flight, runs its end once, and shuts at once', async () => {
  const gate = new Gate('it')
  const events: string[] = []
  let finish = (): void => {}
  const running = gate.run(() => new Promise<void>((resolve) => { finish = resolve })).then(() => events.push('done'))
  const closing = [gate.close(async () => { events.push('end') }), gate.close(async () => { events.push('never') })]
  expect(gate.closed).toBe(true)
  await expect(gate.run(async () => 1)).rejects.toMatchObject({ code: 'DISK_CLOSED' })
  expect(events).toEqual([])
  finish()
  await Promise.all([running, ...closing])
  expect(events).toEqual(['done', 'end'])
})

test('an operation that fails is over as well', async () => {
  const gate = new Gate('it')
  await expect(gate.run(() => Promise.reject(new Error('no')))).rejects.toThrow('no')
  await expect(gate.run(() => { throw new Error('at once') })).rejects.toThrow('at once')
  await gate.close(async () => {})
})

test('an end that fails fails for everybody who closes', async () => {
  const gate = new Gate('it')
  const closings = [1, 2].map(() => gate.close(() => Promise.reject(new Error('bad end'))))
  for (const closing of closings) await expect(closing).rejects.toThrow('bad end')
})

test('ranges end inside, at most at the end', () => {
  for (const [offset, length] of [[0, 0], [10, 0], [0, 10], [9, 1]]) expect(() => checkRange('it', 10, offset, length)).not.toThrow()
  const wrong = [[10, 1], [11, 0], [-1, 1], [0, -1], [0.5, 1], [0, 0.5], [NaN, 1], [0, NaN], [2 ** 53, 0], [1, 2 ** 53 - 1], [0, Infinity]]
  for (const [offset, length] of wrong) expect(() => checkRange('it', 10, offset, length)).toThrow(`${length} bytes at ${offset}`)
})

test('sizes are whole multiples', () => {
  expect(() => checkSize('it', 1024, 512)).not.toThrow()
  for (const size of [-512, 100, 0.5, NaN, Infinity, 2 ** 60]) expect(() => checkSize('it', size, 512)).toThrow(`size of ${size}`)
})

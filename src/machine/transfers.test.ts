import { expect, it } from 'vitest'
import { TransferLedger } from './transfers.ts'

function reclaim(ledger: TransferLedger): number[] {
  const freed: number[] = []
  for (let round = 0; round < 3; round++) ledger.reclaim((frame) => freed.push(frame))
  return freed
}

it('frees at once what no transfer can reach', () => {
  const ledger = new TransferLedger()
  ledger.retire(7)
  ledger.retire(8)
  expect([reclaim(ledger), reclaim(ledger)]).toEqual([[7, 8], []])
})

it('keeps frames until the transfers that began before have ended, and no longer', () => {
  const ledger = new TransferLedger()
  const early = ledger.begin()
  ledger.retire(1)
  expect(reclaim(ledger)).toEqual([])
  const late = ledger.begin()
  ledger.retire(2)
  expect(reclaim(ledger)).toEqual([])
  ledger.end(early)
  expect(reclaim(ledger)).toEqual([1])
  ledger.end(late)
  expect(reclaim(ledger)).toEqual([2])
})

it('frees although there is always some transfer, and never too early', () => {
  const ledger = new TransferLedger()
  const running: { transfer: number, since: number }[] = []
  const retiredAt = new Map<number, number>()
  let freed = 0
  let seed = 1
  for (let time = 0; time < 20_000; time++) {
    seed = Math.imul(seed, 1664525) + 1013904223 >>> 0
    if (running.length < 8) running.push({ transfer: ledger.begin(), since: time })
    if (seed >>> 31 === 1) ledger.end(running.splice((seed >>> 8) % running.length, 1)[0].transfer)
    if (seed >>> 30 === 1) {
      ledger.retire(time)
      retiredAt.set(time, time)
    }
    const oldest = Math.min(...running.map(({ since }) => since))
    ledger.reclaim((frame) => {
      freed++
      expect(retiredAt.get(frame)).toBeLessThan(oldest)
    })
  }
  expect(freed).toBeGreaterThan(retiredAt.size * 0.9)
})

import { expect, test } from 'vitest'
import { freeze, setTime, shutDown } from './guest-life.ts'
import { fakeAgent } from './testing/fake-agent.ts'
import type { FakeAnswer } from './testing/fake-agent.ts'

const withCode = (code: string) => expect.objectContaining({ code })

/** A guest whose file systems are frozen by `freeze` and thawed at the `thaws`th try. */
function guest(options: { freeze?: FakeAnswer, thaws?: number } = {}) {
  let isFrozen = false
  let tries = 0
  const agent = fakeAgent(({ execute }) => {
    if (execute === 'guest-fsfreeze-freeze') {
      isFrozen = true
      return options.freeze ?? { return: 2 }
    }
    if (execute !== 'guest-fsfreeze-thaw') return undefined
    if (++tries < (options.thaws ?? 1)) return { error: { desc: 'not now' } }
    isFrozen = false
    return { return: 2 }
  })
  return { ...agent, get isFrozen() { return isFrozen } }
}

test('work is done while the file systems are frozen', async () => {
  const each = guest()
  expect(await freeze(each.client, async frozen => [frozen, each.isFrozen])).toEqual([2, true])
  expect(each.isFrozen).toBe(false)
})

test('they are thawed when the work fails, and when the agent says nonsense about freezing', async () => {
  const each = guest()
  await expect(freeze(each.client, async () => { throw new Error('no room') })).rejects.toThrow('no room')
  expect(each.isFrozen).toBe(false)
  const odd = guest({ freeze: Buffer.from('nonsense\n') })
  await expect(freeze(odd.client, async () => 1)).rejects.toEqual(withCode('AGENT_PROTOCOL'))
  expect(odd.isFrozen).toBe(false)
})

test('thawing is tried again, and said if it cannot be done', async () => {
  const slow = guest({ thaws: 3 })
  expect([await freeze(slow.client, async () => 'done'), slow.isFrozen]).toEqual(['done', false])
  const never = guest({ thaws: Infinity })
  await expect(freeze(never.client, async () => 'done')).rejects.toEqual(withCode('GUEST_STILL_FROZEN'))
})

test('a guest without an agent is not frozen, and the work is not begun', async () => {
  const { client } = fakeAgent(() => undefined)
  client.end()
  let isBegun = false
  await expect(freeze(client, async () => { isBegun = true })).rejects.toEqual(withCode('AGENT_UNAVAILABLE'))
  expect(isBegun).toBe(false)
})

test('the clock is set in nanoseconds, and the guest told to power off', async () => {
  const { client, requests } = fakeAgent(({ execute }) => (execute === 'guest-set-time' ? { return: {} } : execute === 'guest-shutdown' ? { error: { desc: 'busy' } } : undefined))
  await setTime(client, 1_800_000_000_123)
  await expect(shutDown(client)).rejects.toThrow('busy')
  expect(requests.filter(({ execute }) => execute !== 'guest-sync-delimited').map(request => request.arguments))
    .toEqual([{ time: 1_800_000_000_123_000_000 }, { mode: 'powerdown' }])
})

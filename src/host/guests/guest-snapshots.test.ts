import { expect, test } from 'vitest'
import { fakeAgent } from '../agent/testing/fake-agent.ts'
import type { FakeAnswer } from '../agent/testing/fake-agent.ts'
import { storageError } from '../../storage/errors.ts'
import type { AgentCaller } from '../agent/commands.ts'
import { hostError } from '../errors.ts'
import { takeSnapshot } from './guest-snapshots.ts'
import type { SnapshotGuest } from './guest-snapshots.ts'
import { GuestHome } from './testing/guest-home.ts'

const withCode = (code: string): Error => expect.objectContaining({ code }) as Error

interface Options {
  /** What the agent says; its own answer where undefined. */
  readonly answer?: (execute: string) => FakeAnswer
  readonly noAgent?: boolean
  readonly pauseFailure?: Error
  readonly snapshotFailure?: Error
}

/** A machine and an agent, and what was done with them, in order. */
function guest({ answer = () => undefined, noAgent = false, pauseFailure, snapshotFailure }: Options = {}) {
  const done: string[] = []
  const { client } = fakeAgent(({ execute }) => {
    if (execute === 'guest-sync-delimited') return undefined
    done.push(execute.replace('guest-', ''))
    return answer(execute) ?? { return: execute === 'guest-ping' ? {} : 2 }
  })
  if (noAgent) client.end()
  const machine = {
    snapshots: {
      pause: async () => {
        done.push('pause')
        if (pauseFailure !== undefined) throw pauseFailure
      },
      resume: async () => void done.push('resume'),
    },
    diskSnapshots: async ({ action }: { readonly action: string }) => {
      done.push(action)
      if (snapshotFailure !== undefined) throw snapshotFailure
      return { snapshots: [{ disk: 'a', id: '1', name: 'x', taken: '', size: 1 }], leftOut: [] }
    },
  } as unknown as SnapshotGuest['machine']
  return { done, client, take: (agent: AgentCaller = client) => takeSnapshot({ agent, machine }, 'x') }
}

test('file systems are frozen, the machine stands still, and both go on', async () => {
  const { done, take } = guest()
  expect(await take()).toMatchObject({ frozen: 2, snapshots: [{ disk: 'a' }] })
  expect(done).toEqual(['ping', 'fsfreeze-freeze', 'pause', 'create', 'resume', 'fsfreeze-thaw'])
})

test('without an agent, or one that cannot freeze, the disks are as after a power failure, and why is said', async () => {
  const none = guest({ noAgent: true })
  const reason = expect.stringContaining('there is no guest agent') as string
  expect(await none.take()).toMatchObject({ frozen: 0, reason, snapshots: [{ disk: 'a' }] })
  expect(none.done).toEqual(['pause', 'create', 'resume'])
  const unable = guest({ answer: execute => (execute === 'guest-fsfreeze-freeze' ? { error: { desc: 'not supported' } } : undefined) })
  expect(await unable.take()).toMatchObject({ frozen: 0, reason: expect.stringContaining('not supported') as string })
  expect(unable.done).toEqual(['ping', 'fsfreeze-freeze', 'fsfreeze-thaw', 'pause', 'create', 'resume'])
  const nothing = guest({ answer: execute => (execute === 'guest-fsfreeze-freeze' ? { return: 0 } : undefined) })
  expect(await nothing.take()).toMatchObject({ frozen: 0, reason: 'its agent found no file system to freeze' })
})

test('an agent that does not answer is not asked to freeze', async () => {
  const { done, client, take } = guest()
  const deaf: AgentCaller = {
    call: (name, takes) => (name === 'guest-ping' ? Promise.reject(hostError('AGENT_TIMEOUT', 'no answer')) : client.call(name, takes)),
  }
  expect(await take(deaf)).toMatchObject({ frozen: 0, reason: 'no answer' })
  expect(done).toEqual(['pause', 'create', 'resume'])
})

test('what fails leaves the guest running and thawed', async () => {
  const full = guest({ snapshotFailure: storageError('DISK_FULL', 'no room') })
  await expect(full.take()).rejects.toEqual(withCode('DISK_FULL'))
  expect(full.done.slice(2)).toEqual(['pause', 'create', 'resume', 'fsfreeze-thaw'])
  const busy = guest({ pauseFailure: hostError('MACHINE_DISKS_BUSY', 'a disk does not answer') })
  await expect(busy.take()).rejects.toEqual(withCode('MACHINE_DISKS_BUSY'))
  expect(busy.done.slice(2)).toEqual(['pause', 'fsfreeze-thaw'])
})

test('a guest that cannot be thawed is told of, and that the snapshot is there', async () => {
  const { take } = guest({ answer: execute => (execute === 'guest-fsfreeze-thaw' ? { error: { desc: 'never' } } : undefined) })
  await expect(take()).rejects.toThrow(/^the snapshot was taken, but .* frozen/)
  await expect(take()).rejects.toEqual(withCode('GUEST_STILL_FROZEN'))
})

test('a guest that ends while it is to be thawed has its snapshot', async () => {
  const { client, take } = guest({ answer: execute => {
    if (execute === 'guest-fsfreeze-thaw') client.end()
    return undefined
  } })
  expect(await take()).toMatchObject({ frozen: 2 })
})

test('a guest has one snapshot taken at a time, and is not suspended meanwhile', async () => {
  const home = new GuestHome()
  await home.makeWithDisk('web')
  const running = await home.host.start('web')
  const [machine] = home.machines.started
  let go = (): void => {}
  machine.onSnapshot = () => new Promise(resolve => { go = resolve })
  const taken = running.takeSnapshot('one')
  await expect.poll(() => machine.asked).toEqual(['pause', 'create one'])
  await expect(running.takeSnapshot('two')).rejects.toEqual(withCode('GUEST_BUSY'))
  await expect(running.suspend()).rejects.toEqual(withCode('GUEST_BUSY'))
  go()
  expect(await taken).toMatchObject({ frozen: 0, snapshots: [{ name: 'one' }] })
  expect([machine.asked, running.state]).toEqual([['pause', 'create one', 'resume'], 'running'])
  machine.onSnapshot = () => Promise.reject(storageError('DISK_FULL', 'no room'))
  await expect(running.takeSnapshot('two')).rejects.toEqual(withCode('DISK_FULL'))
  machine.onSnapshot = async () => {}
  expect((await running.deleteSnapshot('one')).snapshots).toMatchObject([{ name: 'one' }])
  expect((await running.snapshots()).snapshots).toEqual([])
  await running.suspend()
  await expect(running.takeSnapshot('three')).rejects.toEqual(withCode('GUEST_NOT_RUNNING'))
})

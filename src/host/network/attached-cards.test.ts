import { MessageChannel } from 'node:worker_threads'
import { expect, test } from 'vitest'
import { MachineChannel } from '../machine/channel.ts'
import { WorkerSnapshots } from '../machine/machine-snapshots.ts'
import { networkError } from '../../network/errors.ts'
import { AttachedCards } from './attached-cards.ts'
import type { CardOrder } from './network-order.ts'
import type { NetworkThread } from './network-thread.ts'

const withCode = (code: string): Error => expect.objectContaining({ code }) as Error
const card = (name: string, standing?: object): CardOrder => ({ network: 'net', name, mac: '52:54:00:00:00:01', standing }) as CardOrder

/** A network thread that notes what it is asked. The card `bad` cannot be plugged in. */
function fakeThread() {
  const done: string[] = []
  const orders: CardOrder[] = []
  const thread = {
    attach: async (order: CardOrder) => {
      if (order.name === 'bad') throw networkError('NETWORK_FULL', 'no room')
      orders.push(order)
      return { id: 10 - orders.length }
    },
    detach: async (id: number) => void done.push(`detach ${id}`),
    standingOf: async (id: number) => ({ of: id }),
  } as unknown as NetworkThread
  return { done, orders, thread }
}

test('what guests have by their cards comes in the order of the cards, and goes back to them', async () => {
  const { done, orders, thread } = fakeThread()
  const machine = new MachineChannel()
  const cards = await AttachedCards.attach({ thread, cards: [card('a'), card('b', { lease: 1 })] }, machine.memory)
  const { port1, port2 } = new MessageChannel()
  const snapshots = new WorkerSnapshots(port1, machine, { shares: undefined, cards })
  expect([await snapshots.cards(), await snapshots.shares()]).toEqual([[{ of: 9 }, { of: 8 }], []])
  expect(orders.map(({ standing }) => standing)).toEqual([undefined, { lease: 1 }])
  await cards.detach()
  expect([done, await snapshots.cards()]).toEqual([['detach 9', 'detach 8'], []])
  snapshots.end()
  port2.close()
})

test('where one card cannot be plugged in, none stays', async () => {
  const { done, thread } = fakeThread()
  const attached = AttachedCards.attach({ thread, cards: [card('a'), card('bad')] }, new MachineChannel().memory)
  await expect(attached).rejects.toEqual(withCode('NETWORK_FULL'))
  expect(done).toEqual(['detach 9'])
})

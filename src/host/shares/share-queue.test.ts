import { expect, test } from 'vitest'
import { SLOTS } from './share-channel.ts'
import { SharesInThread } from './testing/shares-in-thread.ts'

test('requests reach their session where they lie, neighbours as one piece, and are answered', async () => {
  const seen: string[] = []
  const session = (name: string) => ({
    serve(message: readonly Uint8Array[], reply: readonly Uint8Array[]): number {
      const places = message.map(({ byteOffset, length }) => `${byteOffset}+${length}`)
      seen.push(`${name} ${places.join(' ')} to ${reply.map(({ byteOffset }) => byteOffset).join(' ')}`)
      reply[0].fill(name.charCodeAt(0))
      return reply[0].length
    },
  })
  const shares = new SharesInThread([session('first'), session('second')])
  const answers = [
    shares.request(1, [[0, 4096], [4096, 100], [8192, 10]], [[9000, 16]]), shares.request(0, [[4096, 40]], [[0, 20]]),
  ]
  expect([seen.length, shares.queue.busy]).toEqual([0, true])
  shares.server.serve()
  shares.queue.settle()
  expect(await Promise.all(answers)).toEqual([16, 20])
  expect(seen).toEqual(['second 0+4196 8192+10 to 9000', 'first 4096+40 to 0'])
  expect([shares.memory[9000], shares.memory[9016], shares.memory[0], shares.queue.busy, shares.rings]).toEqual([115, 0, 102, false, 2])
})

test('more requests than slots wait, and are answered in order', async () => {
  let served = 0
  const shares = new SharesInThread([{ serve: () => ++served }])
  const answers = Array.from({ length: 3 * SLOTS + 5 }, (_, index) => shares.request(0, [[index * 64, 40]], []))
  for (let round = 0; round < 4; round++) {
    shares.server.serve()
    shares.queue.settle()
  }
  expect(await Promise.all(answers)).toEqual(answers.map((_, index) => index + 1))
})

test('when the thread is gone, requests under way and new ones are answered without a reply', async () => {
  const shares = new SharesInThread([{ serve: () => 16 }])
  const underWay = Array.from({ length: SLOTS + 2 }, () => shares.request(0, [[0, 40]], [[64, 16]]))
  shares.channel.rings.fail()
  shares.queue.settle()
  expect(new Set(await Promise.all([...underWay, shares.request(0, [[0, 40]], [])]))).toEqual(new Set([0]))
  expect(shares.queue.busy).toBe(false)
})

test('the server serves what there is before it answers a call', async () => {
  const shares = new SharesInThread([{ serve: () => 16 }])
  const answer = shares.request(0, [[0, 40]], [[64, 16]])
  shares.channel.call()
  shares.server.run()
  shares.queue.settle()
  expect([await answer, shares.channel.isCalled]).toEqual([16, false])
})

import { expect, test } from 'vitest'
import { GuestHome } from './testing/guest-home.ts'

/** A guest that runs, with an agent that notes what it is told, and does not heed the power button. */
async function stubborn() {
  const home = new GuestHome()
  await home.make('web')
  const guest = await home.host.start('web')
  const machine = await home.machines.at(0)
  const { owner } = machine.options.ports![0]
  const heard: string[] = []
  machine.onPort = bytes => {
    const { execute, arguments: { id } } = JSON.parse(Buffer.from(bytes).toString('latin1').replace('\xff', '')) as { execute: string, arguments: { id?: number } }
    heard.push(execute)
    if (id !== undefined) owner.receive(Buffer.from(`\xff{"return": ${id}}\n`, 'latin1'))
  }
  return { guest, machine, heard, open: () => owner.opened!(true) }
}

test('a guest that does not heed the power button is told by its agent', async () => {
  const { guest, machine, heard, open } = await stubborn()
  open()
  const stopped = guest.stop(600)
  await expect.poll(() => heard).toEqual(['guest-sync-delimited', 'guest-shutdown'])
  machine.end('power-off')
  expect(await stopped).toMatchObject({ end: { reason: 'power-off' }, wasKilled: false })
  expect([machine.presses, guest.agent.isOpen]).toEqual([1, false])
})

test('without an agent it is killed in the end', async () => {
  const { guest, heard } = await stubborn()
  expect(await guest.stop(60)).toMatchObject({ wasKilled: true })
  expect(heard).toEqual([])
})

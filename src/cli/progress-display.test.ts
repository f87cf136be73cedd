import { expect, test } from 'vitest'
import { ProgressDisplay } from './progress-display.ts'

function output(isTTY: boolean): { isTTY: boolean, columns: number, text: string, write(text: string): void } {
  return { isTTY, columns: 60, text: '', write(text) { this.text += text } }
}

test('without a terminal there is a line for each file', () => {
  const out = output(false)
  const display = new ProgressDisplay(out)
  for (const received of [0, 500, 1000]) display.show({ kind: 'transfer', name: 'linux', received, total: 1000 })
  display.show({ kind: 'transfer', name: 'busybox', received: 0, total: 10 })
  display.show({ kind: 'stage', text: 'building' })
  display.finish()
  expect(out.text).toBe('tenon: fetching linux (1 kB)\ntenon: fetching busybox (10 B)\ntenon: building\n')
})

test('on a terminal there is a bar, not drawn too often, and a line of its own for what follows', () => {
  const out = output(true)
  let now = 0
  const display = new ProgressDisplay(out, () => now)
  display.show({ kind: 'transfer', name: 'linux', received: 0, total: 1000 })
  display.show({ kind: 'transfer', name: 'linux', received: 1, total: 1000 })
  now = 100
  display.show({ kind: 'transfer', name: 'linux', received: 500, total: 1000 })
  display.show({ kind: 'transfer', name: 'linux', received: 1000, total: 1000 })
  display.show({ kind: 'stage', text: 'building' })
  expect(out.text.replaceAll('\r\x1b[K', '\n').split('\n')).toEqual([
    '', `[${'.'.repeat(24)}]   0 %  0 B of 1 kB  linux`, `[${'#'.repeat(12)}${'.'.repeat(12)}]  50 %  500 B of 1 kB  linux`,
    `[${'#'.repeat(24)}] 100 %  1 kB of 1 kB  linux`, 'tenon: building', '',
  ])
})

test('the bar stays within the terminal\'s line', () => {
  const out = output(true)
  new ProgressDisplay(out).show({ kind: 'transfer', name: 'x'.repeat(100), received: 1, total: 2 })
  expect(out.text.length).toBe('\r\x1b[K'.length + 59)
})

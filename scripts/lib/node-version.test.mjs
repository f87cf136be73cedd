import { expect, test } from 'vitest'
import { isSupported } from './node-version.mjs'

test('Node.js from 20.19 on is new enough', () => {
  expect(['20.19.0', '20.19.1', '20.20.2', '21.0.0', '24.1.0-nightly'].filter(version => !isSupported(version))).toEqual([])
  expect(['20.18.9', '18.20.0', '0.12.0'].filter(isSupported)).toEqual([])
})

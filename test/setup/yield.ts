/** Tests that run guests hold their thread for long. Between two of them it must come to speak with Vitest, which waits a minute at most. */
import { beforeEach } from 'vitest'

beforeEach(() => new Promise<void>((resolve) => { setImmediate(resolve) }))

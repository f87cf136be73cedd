import { AgentClient } from '../client.ts'

export interface FakeRequest {
  readonly execute: string
  readonly arguments: Record<string, unknown>
}

/** What the fake agent says to a request: an object is sent as JSON with a newline, bytes as they are, nothing is silence. */
export type FakeAnswer = object | Uint8Array | undefined

/**
 * A client and an agent that is a function. `guest-sync-delimited` is answered as a real agent does, unless `answer` gives something.
 * `split` cuts what the agent says into pieces.
 */
export function fakeAgent(answer: (request: FakeRequest, count: number) => FakeAnswer | Promise<FakeAnswer>, split = Infinity) {
  const requests: FakeRequest[] = []
  let rest = ''
  const client = new AgentClient(async bytes => {
    rest += Buffer.from(bytes).toString('latin1').replaceAll('\xff', '')
    const lines = rest.split('\n')
    rest = lines.pop()!
    for (const line of lines) void take(JSON.parse(line) as FakeRequest)
  })
  const say = (bytes: Uint8Array): void => {
    for (let at = 0; at < bytes.length; at += split) client.receive(bytes.subarray(at, at + split))
  }
  const take = async (request: FakeRequest): Promise<void> => {
    requests.push(request)
    const given = await answer(request, requests.length)
    const isSync = request.execute === 'guest-sync-delimited'
    if (given instanceof Uint8Array) say(given)
    else if (given !== undefined || isSync) {
      const text = `${JSON.stringify(given ?? { return: request.arguments.id })}\n`
      say(isSync ? Buffer.concat([Uint8Array.of(0xff), Buffer.from(text)]) : Buffer.from(text))
    }
  }
  client.opened(true)
  return { client, requests, say, names: () => requests.map(({ execute }) => execute) }
}

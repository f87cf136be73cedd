/** Waits for all, also when one fails, so that nothing of a request is under way after its end. Then rejects with the first failure. */
export async function settleAll(works: readonly Promise<unknown>[]): Promise<void> {
  const results = await Promise.allSettled(works)
  for (const result of results) if (result.status === 'rejected') throw result.reason
}

// Clients of a cluster. Where they connect to is a node's `host:port`, or a listener as a URL.
//
// `clients.js cross ONE OTHER RECORD` proves that a record and an event cross from one client to the other, and
// `clients.js read ONE RECORD` prints what a record holds.
//
// `clients.js load UNIT RECORD WRITER READER...`: one client writes numbered updates, each once the one before is
// acknowledged or failed, and the others read. A line of `ready`, and one for each connection that is open again, tells
// how it goes; when standard input ends, so does the load, with a report in JSON as the last line. Clients retry as
// they do by default, in seconds of UNIT milliseconds, and without end.
const { DeepstreamClient } = require('@deepstream/client')

const within = (what, promise) =>
  Promise.race([
    promise,
    new Promise((_, reject) => setTimeout(() => reject(new Error(`${what} did not happen within 20 s`)), 20000)),
  ])

async function client(node, options = {}) {
  const client = new DeepstreamClient(node, options)
  client.on('error', (error, event, topic) => console.error(node, error.message ?? error, event, topic))
  await within(`a login on ${node}`, client.login())
  return client
}

async function cross(one, other, name) {
  const [a, b] = [await client(one), await client(other)]
  const read = b.record.getRecord(name)
  await within('the record on the other node', read.whenReady())
  const seen = new Promise((resolve) => read.subscribe('value', (value) => value === 42 && resolve()))
  const written = a.record.getRecord(name)
  await within('the record on the one node', written.whenReady())
  await within('the write', written.setWithAck('value', 42))
  await within('the change on the other node', seen)

  const heard = new Promise((resolve) => b.event.subscribe('greeting', resolve))
  // The other node is told of the subscription in its own time, so the event is sent until it is heard.
  const sending = setInterval(() => a.event.emit('greeting', 'hello'), 100)
  const greeting = await within('the event on the other node', heard)
  clearInterval(sending)
  if (greeting !== 'hello') throw new Error(`heard ${greeting}`)
}

async function read(node, name) {
  const there = await client(node)
  console.log(JSON.stringify(await within('the read', there.record.snapshot(name))))
}

// A client that counts how often its connection was lost and opened again.
async function lasting(number, node, unit) {
  const it = await client(node, { reconnectIntervalIncrement: 4 * unit, maxReconnectAttempts: Infinity })
  const lasting = { client: it, reconnects: 0 }
  let lost = false
  it.on('connectionStateChanged', (state) => {
    lost ||= state === 'RECONNECTING'
    if (!lost || state !== 'OPEN') return
    lost = false
    lasting.reconnects += 1
    console.log(`reconnected ${number}`)
  })
  return lasting
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds))

async function until(what, holds) {
  let over = false
  const waiting = async () => {
    while (!holds() && !over) await pause(10)
  }
  await within(what, waiting()).finally(() => (over = true))
}

// Each update is a key of its own in the record: one that is lost is missing in the end, whatever came after it.
async function load(unit, name, ...nodes) {
  const all = await Promise.all(nodes.map((node, number) => lasting(number, node, Number(unit))))
  const [writer, ...readers] = all
  const key = (number) => `n${number}`
  for (const reader of readers) {
    reader.record = reader.client.record.getRecord(name)
    await within('the record of a reader', reader.record.whenReady())
    reader.seen = new Set()
    reader.record.subscribe((data) => Object.keys(data).forEach((key) => reader.seen.add(key)), true)
  }
  let [sent, stopped] = [0, false]
  const acknowledged = []
  // Readers are up to date when they have seen one that was sent from now on.
  const followed = (what) => {
    const now = sent
    const after = (reader) => acknowledged.some((number) => number > now && reader.seen.has(key(number)))
    return until(what, () => readers.every(after))
  }
  const writing = (async () => {
    while (!stopped) {
      const number = ++sent
      // The write is not made through the record, which would merge what it held when the connection was lost.
      const written = writer.client.record.setDataWithAck(name, key(number), true)
      await within('an answer to a write', written).then(
        () => acknowledged.push(number),
        (error) => console.error(`update ${number} failed: ${error}`),
      )
      await pause(20)
    }
  })()
  process.stdin.resume()
  const ended = new Promise((resolve) => process.stdin.on('end', resolve))
  await followed('the first updates at every reader')
  console.log('ready')
  await ended
  await followed('the last updates at every reader')
  stopped = true
  await writing
  const missing = (data) => acknowledged.filter((number) => !data[key(number)])
  const complete = (reader) => missing(reader.record.get()).length === 0
  // Whoever is not complete by then is in the report.
  await until('the end of the record', () => readers.every(complete)).catch(console.error)
  const late = await client(nodes[0])
  const kept = await within('the record as it was kept', late.record.snapshot(name))
  console.log(
    JSON.stringify({
      sent,
      acknowledged: acknowledged.length,
      lost: missing(kept),
      missed: readers.map((reader) => missing(reader.record.get())),
      seen: readers.map((reader) => acknowledged.filter((number) => reader.seen.has(key(number))).length),
      reconnects: all.map((one) => one.reconnects),
    }),
  )
}

const [mode, ...rest] = process.argv.slice(2)
const modes = { cross, load, read }
modes[mode](...rest).then(
  () => process.exit(0),
  (error) => {
    console.error(error)
    process.exit(1)
  },
)

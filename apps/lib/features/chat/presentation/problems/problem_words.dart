/// What each code of a refusal means to the person in front of the app, and what can be done about it.
///
/// The codes are those of docs/problems.md, the words those of the chat page; a test of the service compares the lists.
library;

/// What helps: the same once more, another message, a new conversation, or nothing here.
enum Remedy { again, edit, thread, none }

/// What has happened, as a sentence, and what to do, as one or two.
class ProblemWords {
  const ProblemWords(this.title, this.advice, [this.remedy = Remedy.none]);

  final String title;
  final String advice;
  final Remedy remedy;
}

/// Returns the words for a refusal. A code that nobody knows gets the service's own sentence.
ProblemWords wordsOf(String code, String message, {bool? retryable}) {
  final known = problemWords[code];
  if (known != null) return known;
  if (code.startsWith('http-5')) {
    return const ProblemWords(
      'The service does not answer properly.',
      'Try again. If it happens again, tell the operator of this service.',
      Remedy.again,
    );
  }
  return ProblemWords(
    message.isEmpty ? 'Something went wrong.' : message,
    retryable ?? false ? 'Try again in a moment.' : '',
    retryable ?? true ? Remedy.again : Remedy.none,
  );
}

const problemWords = <String, ProblemWords>{
  'model-unavailable': ProblemWords(
    'The model cannot be reached.',
    'It did not answer, even after retries. Try again in a moment.',
    Remedy.again,
  ),
  'model-timeout': ProblemWords('The model took too long.', 'Try again, or ask for less at once.', Remedy.again),
  'model-stream-error': ProblemWords(
    'The answer was cut off.',
    'The part that arrived is kept. Try again for a whole answer.',
    Remedy.again,
  ),
  'model-empty': ProblemWords('The model gave no answer.', 'Try again, or ask in other words.', Remedy.again),
  'context-too-long': ProblemWords(
    'The conversation is too long for the model.',
    'Send a shorter message, or start a new thread.',
    Remedy.thread,
  ),
  'content-filtered': ProblemWords(
    'A content filter stopped this.',
    'What arrived before is kept. Ask in other words.',
    Remedy.edit,
  ),
  'max-iterations': ProblemWords(
    'The agent used all of its steps.',
    'Ask for a smaller task, or let it go on from here.',
    Remedy.edit,
  ),
  'run-timeout': ProblemWords(
    'The answer took too long and was stopped.',
    'Try again, or ask for a smaller task.',
    Remedy.again,
  ),
  'queue-timeout': ProblemWords(
    'Nobody was free to answer in time.',
    'The service is busy. Try again in a moment.',
    Remedy.again,
  ),
  'worker-lost': ProblemWords(
    'The process that was answering has died.',
    'What arrived is kept. Try again.',
    Remedy.again,
  ),
  'worker-shutdown': ProblemWords(
    'The service was restarted during the answer.',
    'What arrived is kept. Try again.',
    Remedy.again,
  ),
  'output-too-large': ProblemWords(
    'The answer grew too large to be stored.',
    'What arrived is kept. Ask for less at once.',
    Remedy.edit,
  ),
  'output-not-storable': ProblemWords(
    'A part of the answer could not be stored.',
    'What arrived is kept. Send the next message.',
    Remedy.again,
  ),
  'budget-exhausted': ProblemWords('The budget is used up.', 'Wait until tomorrow, or ask the operator for more.'),
  'agent-failed': ProblemWords(
    'The agent\'s own code failed.',
    'The operator finds the reason in the log. You can try again.',
    Remedy.again,
  ),
  'agent-missing': ProblemWords(
    'The agent of this run is gone.',
    'It was taken out of the service. Choose another agent in a new thread.',
    Remedy.thread,
  ),
  'agent-unknown': ProblemWords(
    'This agent does not exist any more.',
    'The conversation stays readable. Start a new thread with another agent.',
    Remedy.thread,
  ),
  'agent-fixed': ProblemWords(
    'This thread belongs to another agent.',
    'Start a new thread to talk to this one.',
    Remedy.thread,
  ),
  'internal-error': ProblemWords(
    'Something went wrong inside the service.',
    'Try again. If it happens again, tell the operator of this service.',
    Remedy.again,
  ),
  'run-active': ProblemWords(
    'The agent is still answering.',
    'Wait for the end of its answer, or stop it.',
    Remedy.again,
  ),
  'run-finished': ProblemWords('The answer had already ended.', 'There was nothing left to stop.'),
  'interrupt-open': ProblemWords(
    'The agent waits for an answer of yours.',
    'Answer its question above, or send your message and decline it.',
  ),
  'interrupt-expired': ProblemWords(
    'The question can no longer be answered.',
    'Send a new message instead.',
    Remedy.edit,
  ),
  'interrupt-resolved': ProblemWords('The question was answered already.', 'Perhaps on another device.'),
  'interrupt-uncovered': ProblemWords('Not every open question was answered.', 'Answer all of them at once.'),
  'conflict': ProblemWords('The thread has changed meanwhile.', 'Look at what is new, then decide.', Remedy.again),
  'queue-full': ProblemWords(
    'Too many messages wait for the agent.',
    'Wait until the agent has caught up.',
    Remedy.again,
  ),
  'not-found': ProblemWords('This does not exist any more.', 'It was deleted, or belongs to another user.'),
  'events-expired': ProblemWords(
    'Old events of this thread were deleted.',
    'Its messages are kept. Open the conversation again to read them.',
  ),
  'attachment-unsupported': ProblemWords(
    'An attachment cannot be given to the model.',
    'It takes images, PDF, text, and sound as WAV or MP3. Remove the attachment, or convert it.',
    Remedy.edit,
  ),
  'file-empty': ProblemWords('The file is empty.', 'Choose another one.', Remedy.edit),
  'file-unknown': ProblemWords('An attached file is no longer stored.', 'Attach it again.', Remedy.edit),
  'file-quota-exceeded': ProblemWords(
    'There is no room left for your files.',
    'Delete threads with files that you no longer need.',
    Remedy.again,
  ),
  'file-gone': ProblemWords(
    'This file was deleted.',
    'Attach it again if you need it. The conversation stays.',
    Remedy.edit,
  ),
  'storage-quota-exceeded': ProblemWords(
    'There is no room left to store more.',
    'Delete threads or files that you no longer need, then send it again.',
    Remedy.again,
  ),
  'erasure-under-way': ProblemWords(
    'Your data is being erased.',
    'Wait until it is over. Then you can begin anew.',
    Remedy.again,
  ),
  'files-unavailable': ProblemWords('The store of files does not answer.', 'Try again in a moment.', Remedy.again),
  'files-off': ProblemWords(
    'This service keeps no files.',
    'Send text instead, or ask the operator to switch files on.',
    Remedy.edit,
  ),
  'range-not-satisfiable': ProblemWords('The file is shorter than expected.', 'Open the conversation again.'),
  'url-not-allowed': ProblemWords('The service does not fetch addresses.', 'Attach the file itself.', Remedy.edit),
  'audio-empty': ProblemWords(
    'Nothing was recorded.',
    'Check that the right microphone is chosen, then record again.',
    Remedy.again,
  ),
  'audio-too-long': ProblemWords('The recording is too long.', 'Speak in shorter pieces.'),
  'transcription-failed': ProblemWords(
    'The speech could not be turned into text.',
    'Try again in a moment.',
    Remedy.again,
  ),
  'transcription-timeout': ProblemWords(
    'The speech service took too long.',
    'Try again, or record a shorter piece.',
    Remedy.again,
  ),
  'upload-timeout': ProblemWords(
    'The upload took too long.',
    'Try again over a faster connection, or send less.',
    Remedy.again,
  ),
  'body-too-large': ProblemWords(
    'This is too large to be sent.',
    'Send less at once: a shorter text, or a smaller file.',
    Remedy.edit,
  ),
  'limit-exceeded': ProblemWords(
    'A part of the message is too long.',
    'Shorten it, or send it in pieces.',
    Remedy.edit,
  ),
  'invalid-text': ProblemWords(
    'The text has a character that cannot be stored.',
    'Remove it; it may be invisible, and have come with a paste.',
    Remedy.edit,
  ),
  'invalid-request': ProblemWords(
    'The service did not accept this.',
    'Change the message, and send it again.',
    Remedy.edit,
  ),
  'idempotency-mismatch': ProblemWords(
    'Another message was sent under the same number.',
    'Send it again.',
    Remedy.again,
  ),
  'malformed-json': ProblemWords(
    'The service could not read the request.',
    'This looks like a fault of the app. Start it again; if that does not help, tell the operator.',
  ),
  'malformed-http': ProblemWords(
    'The service could not read the request.',
    'Something between this app and the service changes what is sent.',
  ),
  'unsupported-media-type': ProblemWords(
    'The service does not take this kind of content.',
    'Send text, or attach a file of another type.',
    Remedy.edit,
  ),
  'method-not-allowed': ProblemWords(
    'The service cannot do this.',
    'This looks like a fault of the app. Start it again; if that does not help, tell the operator.',
  ),
  'target-too-long': ProblemWords(
    'The request was too long.',
    'This looks like a fault of the app. Start it again; if that does not help, tell the operator.',
  ),
  'headers-too-large': ProblemWords('The app sent too much with the request.', 'Sign in again with a shorter token.'),
  'bad-cursor': ProblemWords('The app lost its place in the thread.', 'Open the conversation again.'),
  'cursor-ahead': ProblemWords(
    'The app lost its place in the thread.',
    'The service was perhaps restored from a backup. Open the conversation again.',
  ),
  'unauthenticated': ProblemWords('You are not signed in.', 'Sign in again. Your text is kept.', Remedy.again),
  'ticket-invalid': ProblemWords(
    'The ticket for this stream is not valid.',
    'It is used up, or has expired. Open the conversation again for a new one.',
  ),
  'tickets-unavailable': ProblemWords(
    'There are no tickets for streams at the moment.',
    'Try again in a moment.',
    Remedy.again,
  ),
  'key-ended': ProblemWords('This API key has ended.', 'It was revoked, or has expired. Create a new one.'),
  'schedule-unreadable': ProblemWords(
    'The service cannot read this schedule.',
    'A newer version of it may have written it. Delete the schedule, or ask the operator to update the service.',
  ),
  'requeue-refused': ProblemWords(
    'This run cannot be queued again.',
    'It would be done twice, or it has ended. The details say why.',
  ),
  'forbidden': ProblemWords('You are not allowed to do this.', 'Ask the operator for the permission.'),
  'login-not-wanted': ProblemWords('This server needs no login of yours.', 'There is nothing to connect.'),
  'token-not-wanted': ProblemWords('This server takes no token of yours.', 'There is nothing to connect.'),
  'model-refused': ProblemWords(
    'The model did not answer.',
    'Check its address, key and name. The details say what to correct.',
  ),
  'model-fixed': ProblemWords(
    'The model is set in the environment.',
    'Remove those variables and start the service again to choose one here.',
  ),
  'model-not-used': ProblemWords(
    'The model could not be taken into use.',
    'It answers, but the service kept the one before. The details say why.',
  ),
  'process-unavailable': ProblemWords(
    'This process cannot be stopped now.',
    'It is starting, or it is a server of your own. Wait a moment.',
  ),
  'supervisor-unavailable': ProblemWords(
    'The service\'s supervisor does not answer.',
    'Try again; if that does not help, start the service again.',
    Remedy.again,
  ),
  'rate-limited': ProblemWords('You have sent a lot in a short time.', 'Wait a moment, then try again.', Remedy.again),
  'overloaded': ProblemWords('The service is very busy.', 'Wait a moment, then try again.', Remedy.again),
  'store-unavailable': ProblemWords(
    'The service cannot reach its database.',
    'Try again in a moment. Nothing is lost.',
    Remedy.again,
  ),
  'issuer-unavailable': ProblemWords(
    'The service cannot check your sign-in now.',
    'Try again in a moment. You stay signed in.',
    Remedy.again,
  ),
  'schema-incompatible': ProblemWords('The service is being updated.', 'Try again in a minute.', Remedy.again),
  'page-not-built': ProblemWords(
    'This page is not built in the checkout.',
    'Build it as the message in the details says, then reload.',
  ),
  'request-timeout': ProblemWords(
    'The request took too long to arrive.',
    'Check your connection, then try again.',
    Remedy.again,
  ),
  'network': ProblemWords('The service cannot be reached.', 'Check your connection. Your text is kept.', Remedy.again),
  'unsent': ProblemWords('This message was not sent.', 'The app was closed before the service had it.', Remedy.again),
};

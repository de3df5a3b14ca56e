"""A graph of one model call, as the development server of LangGraph serves it: kept in memory."""

import os

from langchain_openai import ChatOpenAI
from langgraph.graph import START, MessagesState, StateGraph

model = ChatOpenAI(
    model="bench", base_url=os.environ["MODEL_BASE_URL"], api_key="bench", streaming=True, stream_usage=True
)


async def answer(state: MessagesState) -> dict:
    prompt = [("system", "You are a helpful assistant."), *state["messages"]]
    return {"messages": [await model.ainvoke(prompt)]}


graph = StateGraph(MessagesState).add_node("answer", answer).add_edge(START, "answer").compile()

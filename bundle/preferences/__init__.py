"""Where preferences come from: candidates, regions, annotators and the store of judgements."""
